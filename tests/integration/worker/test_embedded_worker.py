"""The embedded worker as a real process, on SQLite and the disk, with engines that take time."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.core.workers import WorkerInfo
from tests.simulated.system import System, end, wait_for


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path, SIMULATED_PART_SECONDS=0.6) as system:
        yield system


def seen(system: System, state: str) -> list[WorkerInfo]:
    """The workers in this state, as the store knows them."""
    return [worker for worker in system.workers() if worker.state == state]


def test_a_job_is_completed(system: System) -> None:
    system.worker()
    job = system.ended(system.submit(seconds=2))
    assert (job.state, job.engine, job.diarizer) == ("completed", "simulated", "simulated")
    assert system.words(job.id).count("word0") == 2
    assert len(system.lines("recognize begins")) == 2


def test_a_worker_tells_what_it_is_and_does(system: System) -> None:
    system.worker()
    (ready,) = wait_for(lambda: seen(system, "ready"))
    assert (ready.engine, ready.queues, ready.problem) == ("simulated", ("recognize", "cpu"), "")
    system.submit(seconds=1)
    system.begun()
    (working,) = wait_for(lambda: seen(system, "working"))
    assert working.detail == "recognize:0"


def test_an_idle_worker_ends_at_once_and_leaves_no_trace(system: System) -> None:
    process = system.worker()
    wait_for(lambda: seen(system, "ready"))
    assert end(process, signal.SIGINT) < 3.0
    assert process.returncode == 0
    assert system.workers() == []


def test_a_worker_returns_its_task_on_sigterm(system: System) -> None:
    first = system.worker(SIMULATED_PART_SECONDS=60)
    job_id = system.submit(seconds=2)
    system.begun()
    assert end(first) < 3.0
    task = system.job(job_id).task("recognize:0")
    assert (task.state, task.attempts) == ("ready", 0)
    system.worker()
    assert system.ended(job_id, seconds=20).state == "completed"


def test_an_engine_that_ignores_the_shutdown_is_killed(system: System) -> None:
    first = system.worker(SIMULATED_PART_SECONDS=60, SIMULATED_DEAF=1)
    job_id = system.submit(seconds=1)
    system.begun()
    assert end(first) < 8.0
    task = system.job(job_id).task("recognize:0")
    assert (task.state, task.attempts) == ("ready", 0)


def test_a_cancelled_job_frees_its_worker_within_seconds(system: System) -> None:
    system.worker(SIMULATED_PART_SECONDS=60)
    job_id = system.submit(seconds=1)
    system.begun()
    system.service.commands.cancel(job_id)
    wait_for(lambda: seen(system, "ready"), seconds=4.0)
    assert system.job(job_id).state == "cancelled"


def test_two_workers_share_a_recording(system: System) -> None:
    system.worker(), system.worker()
    job = system.ended(system.submit(seconds=4))
    assert system.words(job.id).count("word0") == 4
    assert len(system.lines("recognize begins")) == 4
    assert len({line.split()[0] for line in system.lines("recognize ends")}) == 2
