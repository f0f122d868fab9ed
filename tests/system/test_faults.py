"""Faults of disks, stores, clocks and memory: nothing is lost, it is reported, and work resumes."""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as client

from meet_transcriber.core.jobs import Job
from tests.redis_server import RedisServer
from tests.simulated.failing_proxy import FailingProxy, failing_proxy
from tests.simulated.system import ROOT, System, end, recording, wait_for
from tests.system.media_servers import aws_environment, moto_server

REDIS_AWAY_SECONDS = float(os.environ.get("REDIS_AWAY_SECONDS", "4"))
HOUR = 3600


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def sent(api: httpx.Client, seconds: int = 2) -> httpx.Response:
    return api.post("/transcribe", files={"file": ("standup.wav", recording(seconds))})


def seen(api: httpx.Client, job_id: str) -> dict[str, Any]:
    return dict(api.get(f"/transcribe/{job_id}").raise_for_status().json())


def came_through(system: System, job_id: str, parts: int) -> Job:
    """The job as it ended: well, at its first run, each part in it once and no death counted."""
    job = system.ended(job_id)
    assert (job.state, job.run, job.error, job.delay) == ("completed", 1, None, None)
    assert [task.attempts for task in job.tasks] == [0] * len(job.tasks)
    assert sum(name.startswith("parts/") for name in job.objects) == parts
    assert system.words(job_id)
    return job


# -- a full disk -----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB; only root may mount it."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def filled(disk: Path, but: int = 0) -> Iterator[None]:
    """For so long, there is no room, but for so many bytes, on the disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while (free := shutil.disk_usage(disk).free) > but:
            file.write(bytes(min(free - but, 1 << 20)))
    yield
    filler.unlink()


def test_a_disk_that_fills_up_during_an_upload(tmp_path: Path, small_disk: Path) -> None:
    with System(tmp_path, DATA_DIR=small_disk / "data") as system:
        api = system.api()
        kept = sent(api).json()["job_id"]
        before = sorted(small_disk.rglob("*"))
        refused = sent(api, seconds=500)
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (507, "storage_full")
        assert "Free some space, or set DATA_DIR or MEDIA_URL to another place" in problem["detail"]
        wait_for(lambda: sorted(small_disk.rglob("*")) == before)
        after = sent(api).json()["job_id"]
        system.worker()
        for job_id in (kept, after):
            came_through(system, job_id, parts=2)


def test_a_disk_that_is_nearly_full_during_a_job(tmp_path: Path, small_disk: Path) -> None:
    with System(tmp_path, DATA_DIR=small_disk / "data") as system:
        api = system.api()
        old, job_id = sent(api, seconds=200).json()["job_id"], system.submit(seconds=2)
        system.service.commands.cancel(old)
        with filled(small_disk, but=12 << 20):
            system.worker()
            wait_for(lambda: system.job(job_id).delay)
            status = seen(api, job_id)
            assert status["status"] == "processing"
            assert status["delay"]["code"] == "storage_full"
            assert "Free some space" in status["delay"]["message"]
            assert sent(api).status_code == 507
            assert api.delete(f"/transcribe/{old}").is_success  # which makes room
            came_through(system, job_id, parts=2)


def test_a_completely_full_disk(tmp_path: Path, small_disk: Path) -> None:
    with System(tmp_path, DATA_DIR=small_disk / "data") as system:
        api = system.api()
        job_id = system.submit(seconds=2)
        with filled(small_disk):
            system.worker()
            refused = sent(api)
            assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
            assert seen(api, job_id)["status"] == "pending"
            assert "DATA_DIR" in api.get("/health/ready").json()["checks"]["media_store"]["detail"]
        came_through(system, job_id, parts=2)


# -- Redis that is away ----------------------------------------------------------------------


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """For so long, nobody listens; then it starts on what it wrote."""
    server.kill9()
    yield
    server.start()


@contextmanager
def refusing(server: RedisServer) -> Iterator[None]:
    """For so long, another password is wanted, of those who are connected as well."""
    with closing(client.Redis(port=server.port)) as ours:
        ours.config_set("requirepass", "changed")
    with closing(client.Redis(port=server.port, password="changed")) as ours:
        ours.client_kill_filter(_type="normal", skipme=True)
        yield
        ours.config_set("requirepass", "")


@contextmanager
def read_only(server: RedisServer) -> Iterator[None]:
    """For so long, it is the replica of a server that is gone."""
    with closing(client.Redis(port=server.port)) as ours:
        ours.replicaof("127.0.0.1", "1")
        yield
        ours.replicaof("NO", "ONE")


@pytest.mark.parametrize("away", [RedisServer.hanging, killed, refusing, read_only])
def test_redis_is_away(tmp_path: Path, redis: RedisServer, away: Any) -> None:
    seconds = {"LEASE_SECONDS": 8, "SIMULATED_PART_SECONDS": 1}
    with System(tmp_path, REDIS_URL=redis.url, **seconds) as system:
        api = system.api()
        system.celery()
        first = sent(api, seconds=3).json()["job_id"]
        system.begun()
        with away(redis):
            back_at = time.monotonic() + REDIS_AWAY_SECONDS
            refused = sent(api)
            assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
            assert "Redis" in refused.json()["detail"]
            assert refused.headers["Retry-After"]
            assert api.get("/health").is_success
            assert not api.get("/health/ready").json()["checks"]["job_store"]["ok"]
            time.sleep(max(0.0, back_at - time.monotonic()))
        second = wait_for(lambda: sent(api).json().get("job_id"))
        came_through(system, first, parts=3)
        came_through(system, second, parts=2)
        kept = {key.split("/")[1] for key in system.service.context.media.keys("jobs")}
        assert kept == {first, second}


# -- an object store that fails or dawdles ---------------------------------------------------


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[FailingProxy]:
    with ExitStack() as stack:
        stack.enter_context(aws_environment())
        behind = stack.enter_context(moto_server(tmp_path))
        httpx.put(f"{behind}/meetings").raise_for_status()
        proxy = stack.enter_context(failing_proxy(behind))
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        stack.callback(os.environ.pop, "AWS_ENDPOINT_URL")
        yield proxy


def test_an_object_store_that_answers_500_and_then_slowly(
    tmp_path: Path, redis: RedisServer, bucket: FailingProxy
) -> None:
    places = {"REDIS_URL": redis.url, "MEDIA_URL": "s3://meetings/here"}
    with System(tmp_path, **places, SIMULATED_PART_SECONDS=0.5) as system:
        api = system.api()
        first = sent(api).json()["job_id"]
        system.worker()
        system.begun()
        bucket.broken = True
        refused = sent(api)
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (503, "storage_unavailable")
        assert "the store of MEDIA_URL does not answer" in problem["detail"]
        wait_for(lambda: system.job(first).delay)
        assert seen(api, first)["delay"]["code"] == "storage_unavailable"
        bucket.broken, bucket.seconds = False, 0.1
        second = sent(api).json()["job_id"]
        came_through(system, first, parts=2)
        came_through(system, second, parts=2)
        bucket.seconds = 0.0
        media, named = system.service.context.media, set[str]()
        for job_id in (first, second):
            named |= set(system.job(job_id).objects.values())
        wait_for(lambda: set(media.keys("jobs")) == named)


# -- clocks that are set ---------------------------------------------------------------------


class Wall:
    """The clock on the wall of processes that start with `variables`; it can be set."""

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "wall_clock.so", folder / "wall_clock"
        source = ROOT / "tests" / "simulated" / "wall_clock.c"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
        self.set(0)
        self.variables = {"LD_PRELOAD": library, "WALL_CLOCK": self._file}

    def set(self, seconds: int) -> None:
        """So many seconds ahead of the right time."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_the_clock_of_one_worker_changes(tmp_path: Path, redis: RedisServer, seconds: int) -> None:
    quick = {"LEASE_SECONDS": 4, "SIMULATED_PART_SECONDS": 3, "RESULT_TTL_HOURS": 0.5}
    wall = Wall(tmp_path)
    with System(tmp_path, REDIS_URL=redis.url, **quick) as system:
        system.worker(**wall.variables), system.worker()
        wait_for(lambda: len(system.workers()) == 2)
        jobs = [system.submit(seconds=2), system.submit(seconds=2)]
        system.begun(times=2)
        wall.set(seconds)
        for job_id in jobs:
            came_through(system, job_id, parts=2)
        assert len(system.lines("recognize begins")) == 4


def test_the_clock_of_the_machine_changes(tmp_path: Path) -> None:
    quick = {"LEASE_SECONDS": 3, "SIMULATED_PART_SECONDS": 2.5, "RESULT_TTL_HOURS": 0.5}
    wall = Wall(tmp_path)
    with System(tmp_path, **quick) as system:
        first, _ = system.worker(**wall.variables), system.worker(**wall.variables)
        wait_for(lambda: len(system.workers()) == 2)
        ahead = system.submit(seconds=3)
        system.begun(times=2)
        wall.set(HOUR)
        came_through(system, ahead, parts=3)
        assert len(system.lines("recognize begins")) == 3
        back = system.submit(seconds=3)
        system.begun(times=5)
        wall.set(0)
        end(first, signal.SIGKILL)
        assert system.ended(back, seconds=30).state == "completed"
        assert system.job(ahead).state == "completed"


# -- too little memory -----------------------------------------------------------------------


def test_a_worker_that_runs_out_of_memory(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        system.host()
        came_through(system, system.submit(seconds=1), parts=1)
        _limit_memory(system.begun())
        hungry = system.ended(system.submit(seconds=1, initial_prompt="hungry"))
        assert hungry.error is not None
        assert "too little memory for this task; give it more" in hungry.error.message
        crashed = system.ended(system.submit(seconds=1, initial_prompt="crash"))
        assert crashed.error is not None
        assert crashed.error.code == "worker_lost"
        assert "died 3 times in task recognize:0" in crashed.error.message
        assert "often memory" in crashed.error.message
        came_through(system, system.submit(seconds=2), parts=2)


def _limit_memory(pid: int) -> None:
    """Let a process have 256 MiB more than it has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (256 << 20)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
