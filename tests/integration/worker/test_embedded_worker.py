"""The embedded worker as a real process, on SQLite and the disk, with engines that take time."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.core.workers import WorkerInfo
from tests.simulated.house import House, end, wait_for


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, SIMULATED_PART_SECONDS=0.6) as house:
        yield house


def seen(house: House, state: str) -> list[WorkerInfo]:
    """The workers in this state, as the store knows them."""
    return [worker for worker in house.workers() if worker.state == state]


def test_a_job_is_completed(house: House) -> None:
    house.worker()
    job = house.ended(house.submit(seconds=2))
    assert (job.state, job.engine, job.diarizer) == ("completed", "simulated", "simulated")
    assert house.words(job.id).count("word0") == 2
    assert len(house.lines("recognize begins")) == 2


def test_a_worker_tells_what_it_is_and_does(house: House) -> None:
    house.worker()
    (ready,) = wait_for(lambda: seen(house, "ready"))
    assert (ready.engine, ready.queues, ready.problem) == ("simulated", ("recognize", "cpu"), "")
    house.submit(seconds=1)
    house.begun()
    (working,) = wait_for(lambda: seen(house, "working"))
    assert working.detail == "recognize:0"


def test_an_idle_worker_ends_at_once_and_leaves_no_trace(house: House) -> None:
    process = house.worker()
    wait_for(lambda: seen(house, "ready"))
    assert end(process, signal.SIGINT) < 3.0
    assert process.returncode == 0
    assert house.workers() == []


def test_a_worker_that_is_told_to_end_gives_its_task_back(house: House) -> None:
    first = house.worker(SIMULATED_PART_SECONDS=60)
    job_id = house.submit(seconds=2)
    house.begun()
    assert end(first) < 3.0
    task = house.job(job_id).task("recognize:0")
    assert (task.state, task.attempts) == ("ready", 0)
    house.worker()
    assert house.ended(job_id, seconds=20).state == "completed"


def test_an_engine_that_does_not_listen_is_cut_off(house: House) -> None:
    first = house.worker(SIMULATED_PART_SECONDS=60, SIMULATED_DEAF=1)
    job_id = house.submit(seconds=1)
    house.begun()
    assert end(first) < 8.0
    task = house.job(job_id).task("recognize:0")
    assert (task.state, task.attempts) == ("ready", 0)


def test_a_cancelled_job_frees_its_worker_within_seconds(house: House) -> None:
    house.worker(SIMULATED_PART_SECONDS=60)
    job_id = house.submit(seconds=1)
    house.begun()
    house.service.commands.cancel(job_id)
    wait_for(lambda: seen(house, "ready"), seconds=4.0)
    assert house.job(job_id).state == "cancelled"


def test_two_workers_share_a_recording(house: House) -> None:
    house.worker(), house.worker()
    job = house.ended(house.submit(seconds=4))
    assert house.words(job.id).count("word0") == 4
    assert len(house.lines("recognize begins")) == 4
    assert len({line.split()[0] for line in house.lines("recognize ends")}) == 2
