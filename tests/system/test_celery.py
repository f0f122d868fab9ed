"""Celery workers as real processes on a real Redis, some of which are killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.hearing import TINY
from tests.redis_server import RedisServer
from tests.simulated.house import ROOT, House, end, wait_for
from tests.simulated.once import completes

BIN = Path(sys.executable).parent


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def house(tmp_path: Path, redis: RedisServer) -> Iterator[House]:
    with House(tmp_path, REDIS_URL=redis.url, SIMULATED_PART_SECONDS=1.0) as house:
        yield house


def children(pid: int) -> str:
    """The process ids of a process's children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def test_a_job_needs_nothing_but_redis(house: House, tmp_path: Path) -> None:
    house.celery(DATA_DIR=tmp_path / "elsewhere", LOG_LEVEL="DEBUG")
    job = house.ended(house.submit(seconds=2))
    assert (job.state, job.engine) == ("completed", "simulated")
    assert house.words(job.id).count("word0") == len(house.lines("recognize begins")) == 2
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "data").exists()


def test_the_messages_are_used_up(house: House) -> None:
    house.celery()
    house.ended(house.submit(seconds=2))
    wait_for(lambda: house.queue.length("cpu") + house.queue.length("recognize") == 0)


def test_two_workers_share_a_recording(house: House) -> None:
    house.celery("one"), house.celery("two")
    wait_for(lambda: len(house.workers()) == 2)
    job = house.ended(house.submit(seconds=4))
    assert house.words(job.id).count("word0") == len(house.lines("recognize begins")) == 4
    assert len({line.split()[0] for line in house.lines("recognize ends")}) == 2


# -- ends --------------------------------------------------------------------------------------


def test_a_worker_that_is_told_to_end_gives_its_task_back(house: House) -> None:
    first = house.celery("one", SIMULATED_PART_SECONDS=60)
    job_id = house.submit(seconds=2)
    house.begun()
    assert end(first) < 5.0
    task = house.job(job_id).task("recognize:0")
    assert (task.state, task.attempts, first.returncode) == ("ready", 0, 0)
    assert house.workers() == []
    house.celery("two")
    assert house.ended(job_id, seconds=20).state == "completed"


def test_an_engine_that_does_not_listen_is_cut_off(house: House) -> None:
    worker = house.celery(SIMULATED_PART_SECONDS=60, SIMULATED_DEAF=1)
    job_id = house.submit(seconds=1)
    house.begun()
    assert end(worker) < 20.0
    task = house.job(job_id).task("recognize:0")
    assert (task.state, task.attempts) == ("ready", 0)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT])
def test_other_ways_to_end_give_the_task_back_too(house: House, how: signal.Signals) -> None:
    worker = house.celery(SIMULATED_PART_SECONDS=60)
    job_id = house.submit(seconds=1)
    house.begun()
    assert end(worker, how) < 10.0
    task = house.job(job_id).task("recognize:0")
    assert (task.state, task.attempts) == ("ready", 0)


# -- deaths ------------------------------------------------------------------------------------


def test_a_killed_child_costs_at_most_one_part_and_no_lease(house: House) -> None:
    house.celery()
    job_id = house.submit(seconds=3)
    os.kill(house.begun(times=2), signal.SIGKILL)  # as the system does when memory runs out
    assert house.ended(job_id, seconds=28).state == "completed"  # the lease is 30 s
    assert house.words(job_id).count("word0") == 3
    assert len(house.lines("recognize begins")) == 4


def test_a_killed_worker_is_replaced_after_its_lease(tmp_path: Path, redis: RedisServer) -> None:
    more = {"REDIS_URL": redis.url, "SIMULATED_PART_SECONDS": 1.0, "LEASE_SECONDS": 3}
    with House(tmp_path, **more) as house:
        first = house.celery("one")
        job_id = house.submit(seconds=3)
        child = house.begun(times=2)
        end(first, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{child}").exists())
        house.celery("two")
        assert house.ended(job_id, seconds=30).state == "completed"
        assert len(house.lines("recognize begins")) == 4


def test_a_redis_that_is_killed_and_comes_back_loses_nothing(
    house: House, redis: RedisServer
) -> None:
    house.celery()
    job_id = house.submit(seconds=4)
    house.begun(times=2)
    redis.restart()
    assert house.ended(job_id).state == "completed"
    assert house.words(job_id).count("word0") == 4
    assert len(house.lines("recognize begins")) <= 5


def test_a_worker_waits_for_a_redis_that_is_not_there_yet(house: House, redis: RedisServer) -> None:
    redis.stop()
    worker = house.celery()
    wait_for(lambda: children(worker.pid))  # it has come as far as trying to connect
    redis.start()
    assert house.ended(house.submit(seconds=1)).state == "completed"


def test_a_worker_that_cannot_be_used_ends(house: House) -> None:
    assert house.celery(MEDIA_URL="ftp://nowhere").wait(30) == 0


def test_an_embedded_worker_serves_a_redis_without_celery(house: House) -> None:
    house.worker()
    assert house.ended(house.submit(seconds=2)).state == "completed"


# -- queues ------------------------------------------------------------------------------------


def test_a_worker_for_one_queue_leaves_the_other_alone(house: House) -> None:
    house.celery("cpu", "-Q", "cpu")
    job_id = house.submit(seconds=2)
    wait_for(lambda: house.lines("diarize ends"))
    wait_for(lambda: house.queue.length("cpu") == 0)
    assert house.lines("recognize") == []
    house.celery("gpu", "-Q", "recognize")
    assert house.ended(job_id).state == "completed"
    recognizing = {line.split()[0] for line in house.lines("recognize ends")}
    assert recognizing.isdisjoint({line.split()[0] for line in house.lines("diarize ends")})


def test_a_queue_that_is_none_of_ours_is_refused_with_a_sentence(redis: RedisServer) -> None:
    asked = run("celery -A src.worker.celery_app worker -Q whisper", REDIS_URL=redis.url)
    assert asked.returncode != 0
    assert "there are recognize and cpu" in asked.stderr
    assert "Traceback" not in asked.stderr


# -- the guide's commands ----------------------------------------------------------------------


def run(command: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as the guide has it."""
    program, *arguments = command.split()
    return run_here([str(BIN / program), *arguments], **more)


def run_here(command: Sequence[str], **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command from the repository's root."""
    return subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_worker_answers_while_it_works(house: House) -> None:
    house.celery(SIMULATED_PART_SECONDS=60, SIMULATED_DEAF=1)
    house.submit(seconds=1)
    house.begun()
    url = house.environment["REDIS_URL"]
    ping = run("celery -A src.worker.celery_app inspect ping", REDIS_URL=url)
    assert (ping.returncode, "pong" in ping.stdout) == (0, True)
    active = run("celery -A src.worker.celery_app inspect active --json", REDIS_URL=url)
    (tasks,) = json.loads(active.stdout).values()
    assert [task["name"] for task in tasks] == ["meet_transcriber.work"]


@pytest.mark.parametrize(
    "command",
    [
        "celery -A src.worker.celery_app worker --loglevel=INFO --concurrency=1",
        "meet_transcriber worker --queues recognize,cpu",
    ],
)
def test_a_command_that_starts_a_worker_does_a_job(house: House, command: str) -> None:
    worker = house.start("-m", *command.split(), more=TINY)
    assert house.ended(house.submit(seconds=2)).state == "completed"
    assert end(worker) < 10.0


def test_without_redis_a_worker_says_what_it_needs() -> None:
    asked = run("celery -A src.worker.celery_app worker --loglevel=INFO --concurrency=1")
    assert asked.returncode != 0
    assert "needs REDIS_URL" in asked.stderr
    assert "Traceback" not in asked.stderr


# -- brokers -----------------------------------------------------------------------------------


def test_a_password_is_put_in(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", password="p@ss/word") as server:
        url = f"redis://127.0.0.1:{server.port}"
        assert completes(tmp_path / "house", url, REDIS_PASSWORD="p@ss/word")


def test_a_socket_serves(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", unix_socket=tmp_path / "r.sock") as server:
        assert completes(tmp_path / "house", server.url)


def test_sentinels_name_the_redis(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "redis") as server,
        RedisServer(tmp_path / "sentinel", sentinel_of=server) as sentinel,
    ):
        assert completes(tmp_path / "house", f"sentinel://127.0.0.1:{sentinel.port}/0")


@pytest.mark.parametrize(("trusted", "outcome"), [(True, 0), (False, 1)])
def test_tls_is_checked_against_the_authorities_of_ssl_cert_file(
    tmp_path: Path, trusted: bool, outcome: int
) -> None:
    certificate = tmp_path / "ca.pem"
    with RedisServer(tmp_path / "redis", password="secret", certificate=certificate) as server:
        command = ["-m", "tests.simulated.once", str(tmp_path / "house"), server.url]
        trust = {"SSL_CERT_FILE": str(certificate)} if trusted else {}
        asked = run_here([sys.executable, *command], **trust)
        assert (asked.returncode, "CERTIFICATE_VERIFY_FAILED" in asked.stderr) == (
            outcome, not trusted,
        )  # fmt: skip
