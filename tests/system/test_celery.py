"""Celery workers as real processes on a real Redis; some are killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.queues.celery import CeleryQueue
from tests.integration.hearing import TINY
from tests.redis_server import RedisServer
from tests.simulated.once import completes
from tests.simulated.system import ROOT, System, end, wait_for

BIN = Path(sys.executable).parent


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def system(tmp_path: Path, redis: RedisServer) -> Iterator[System]:
    with System(tmp_path, REDIS_URL=redis.url, SIMULATED_PART_SECONDS=1.0) as system:
        yield system


def children(pid: int) -> str:
    """The process ids of a process's children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def test_a_job_needs_nothing_but_redis(system: System, tmp_path: Path) -> None:
    system.celery(DATA_DIR=tmp_path / "elsewhere", LOG_LEVEL="DEBUG")
    job = system.ended(system.submit(seconds=2))
    assert (job.state, job.engine) == ("completed", "simulated")
    assert system.words(job.id).count("word0") == len(system.lines("recognize begins")) == 2
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "data").exists()


def test_all_messages_are_consumed(system: System) -> None:
    system.celery()
    system.ended(system.submit(seconds=2))
    wait_for(lambda: system.queue.length("cpu") + system.queue.length("recognize") == 0)


def test_two_workers_share_a_recording(system: System) -> None:
    system.celery("one"), system.celery("two")
    wait_for(lambda: len(system.workers()) == 2)
    job = system.ended(system.submit(seconds=4))
    assert system.words(job.id).count("word0") == len(system.lines("recognize begins")) == 4
    assert len({line.split()[0] for line in system.lines("recognize ends")}) == 2


# -- ends --------------------------------------------------------------------------------------


def test_a_worker_returns_its_task_on_sigterm(system: System) -> None:
    first = system.celery("one", SIMULATED_PART_SECONDS=60)
    job_id = system.submit(seconds=2)
    system.begun()
    assert end(first) < 5.0
    task = system.job(job_id).task("recognize:0")
    assert (task.state, task.attempts, first.returncode) == ("ready", 0, 0)
    assert system.workers() == []
    system.celery("two")
    assert system.ended(job_id, seconds=20).state == "completed"


def test_an_engine_that_ignores_the_shutdown_is_killed(system: System) -> None:
    worker = system.celery(SIMULATED_PART_SECONDS=60, SIMULATED_DEAF=1)
    job_id = system.submit(seconds=1)
    system.begun()
    assert end(worker) < 20.0
    task = system.job(job_id).task("recognize:0")
    assert (task.state, task.attempts) == ("ready", 0)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT])
def test_other_signals_return_the_task_too(system: System, how: signal.Signals) -> None:
    worker = system.celery(SIMULATED_PART_SECONDS=60)
    job_id = system.submit(seconds=1)
    system.begun()
    assert end(worker, how) < 10.0
    task = system.job(job_id).task("recognize:0")
    assert (task.state, task.attempts) == ("ready", 0)


# -- deaths ------------------------------------------------------------------------------------


def test_a_killed_child_loses_at_most_one_part_and_waits_for_no_lease(system: System) -> None:
    system.celery()
    job_id = system.submit(seconds=3)
    os.kill(system.begun(times=2), signal.SIGKILL)  # as the system does when memory runs out
    assert system.ended(job_id, seconds=28).state == "completed"  # the lease is 30 s
    assert system.words(job_id).count("word0") == 3
    assert len(system.lines("recognize begins")) == 4


def test_a_killed_worker_is_replaced_after_its_lease(tmp_path: Path, redis: RedisServer) -> None:
    more = {"REDIS_URL": redis.url, "SIMULATED_PART_SECONDS": 1.0, "LEASE_SECONDS": 3}
    with System(tmp_path, **more) as system:
        first = system.celery("one")
        job_id = system.submit(seconds=3)
        child = system.begun(times=2)
        end(first, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{child}").exists())
        system.celery("two")
        assert system.ended(job_id, seconds=30).state == "completed"
        assert len(system.lines("recognize begins")) == 4


def test_a_killed_and_restarted_redis_loses_nothing(system: System, redis: RedisServer) -> None:
    system.celery()
    job_id = system.submit(seconds=4)
    system.begun(times=2)
    redis.restart()
    assert system.ended(job_id).state == "completed"
    assert system.words(job_id).count("word0") == 4
    assert len(system.lines("recognize begins")) <= 5


def test_a_worker_that_gets_no_messages_looks_for_work(system: System, redis: RedisServer) -> None:
    """Celery's consumers may stop to receive, such as after a lost connection."""
    worker = system.celery()
    assert isinstance(system.queue, CeleryQueue)
    control = system.queue.app.control
    wait_for(lambda: control.ping(timeout=0.5))
    for queue in QUEUES:
        assert control.cancel_consumer(queue, reply=True, timeout=10, limit=1)
    job_id = system.submit(seconds=3)
    assert system.ended(job_id).state == "completed"
    assert len(system.lines("recognize begins")) == 3
    assert system.queue.length("recognize") >= 3
    assert end(worker) < 10.0


def test_a_worker_waits_for_redis_to_start(system: System, redis: RedisServer) -> None:
    redis.stop()
    worker = system.celery()
    wait_for(lambda: children(worker.pid))  # it has come as far as trying to connect
    redis.start()
    assert system.ended(system.submit(seconds=1)).state == "completed"


@pytest.mark.parametrize("why", [{"MEDIA_URL": "ftp://nowhere"}, {"SIMULATED_DEFECT": "1"}])
def test_an_unusable_worker_exits(system: System, why: dict[str, str]) -> None:
    assert system.celery(**why).wait(30) == 0


def test_an_embedded_worker_works_on_redis_without_celery(system: System) -> None:
    system.worker()
    assert system.ended(system.submit(seconds=2)).state == "completed"


# -- queues ------------------------------------------------------------------------------------


def test_a_worker_for_one_queue_ignores_the_other(system: System) -> None:
    system.celery("cpu", "-Q", "cpu")
    job_id = system.submit(seconds=2)
    wait_for(lambda: system.lines("diarize ends"))
    wait_for(lambda: system.queue.length("cpu") == 0)
    assert system.lines("recognize") == []
    system.celery("gpu", "-Q", "recognize")
    assert system.ended(job_id).state == "completed"
    recognizing = {line.split()[0] for line in system.lines("recognize ends")}
    assert recognizing.isdisjoint({line.split()[0] for line in system.lines("diarize ends")})


def test_an_unknown_queue_is_refused_with_a_reason(redis: RedisServer) -> None:
    asked = run("celery -A src.worker.celery_app worker -Q whisper", REDIS_URL=redis.url)
    assert asked.returncode != 0
    assert "is not a queue; use recognize or cpu" in asked.stderr
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


def test_a_worker_answers_while_it_works(system: System) -> None:
    system.celery(SIMULATED_PART_SECONDS=60, SIMULATED_DEAF=1)
    system.submit(seconds=1)
    system.begun()
    url = system.environment["REDIS_URL"]
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
def test_a_command_that_starts_a_worker_does_a_job(system: System, command: str) -> None:
    worker = system.start("-m", *command.split(), more=TINY)
    assert system.ended(system.submit(seconds=2)).state == "completed"
    assert end(worker) < 10.0


def test_a_worker_without_redis_names_the_missing_setting() -> None:
    asked = run("celery -A src.worker.celery_app worker --loglevel=INFO --concurrency=1")
    assert asked.returncode != 0
    assert "needs REDIS_URL" in asked.stderr
    assert "Traceback" not in asked.stderr


# -- brokers -----------------------------------------------------------------------------------


def test_the_password_is_inserted_into_the_url(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", password="p@ss/word") as server:
        url = f"redis://127.0.0.1:{server.port}"
        assert completes(tmp_path / "system", url, REDIS_PASSWORD="p@ss/word")


def test_a_unix_socket_works(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", unix_socket=tmp_path / "r.sock") as server:
        assert completes(tmp_path / "system", server.url)


def test_sentinels_return_the_master(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "redis") as server,
        RedisServer(tmp_path / "sentinel", sentinel_of=server) as sentinel,
    ):
        assert completes(tmp_path / "system", f"sentinel://127.0.0.1:{sentinel.port}/0")


@pytest.mark.parametrize(("trusted", "outcome"), [(True, 0), (False, 1)])
def test_tls_is_checked_against_the_authorities_of_ssl_cert_file(
    tmp_path: Path, trusted: bool, outcome: int
) -> None:
    certificate = tmp_path / "ca.pem"
    with RedisServer(tmp_path / "redis", password="secret", certificate=certificate) as server:
        command = ["-m", "tests.simulated.once", str(tmp_path / "system"), server.url]
        trust = {"SSL_CERT_FILE": str(certificate)} if trusted else {}
        asked = run_here([sys.executable, *command], **trust)
        assert (asked.returncode, "CERTIFICATE_VERIFY_FAILED" in asked.stderr) == (
            outcome, not trusted,
        )  # fmt: skip
