"""A worker that is kept alive by one of several processes, each of which may be killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulated.house import House, end, wait_for


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, SIMULATED_PART_SECONDS=1.0) as house:
        yield house


def is_alive(pid: int) -> bool:
    """Whether a process that is not our child runs; one that nobody waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_killed_worker_costs_at_most_one_part_and_no_lease(house: House) -> None:
    house.host()
    job_id = house.submit(seconds=4)
    os.kill(house.begun(times=2), signal.SIGKILL)
    assert house.ended(job_id, seconds=20).state == "completed"  # the lease is 30 s
    assert house.words(job_id).count("word0") == 4
    assert len(house.lines("recognize begins")) == 5


def test_a_worker_ends_when_its_supervisor_is_killed(house: House) -> None:
    process = house.host()
    job_id = house.submit(seconds=2)
    worker = house.begun()
    end(process, signal.SIGKILL)
    wait_for(lambda: not is_alive(worker), seconds=5.0)
    assert house.job(job_id).task("recognize:0").state == "ready"


def test_of_two_processes_one_has_the_worker_and_the_other_succeeds_it(house: House) -> None:
    first, second = (house.host() for _ in range(2))
    job_id = house.submit(seconds=3)
    worker = house.begun()
    assert len(house.workers()) == 1
    elected = first if f"-{first.pid}-" in house.workers()[0].id else second
    end(elected, signal.SIGKILL)
    assert house.ended(job_id, seconds=20).state == "completed"
    assert not is_alive(worker)


def test_a_successor_buries_the_worker_that_died_with_its_supervisor(house: House) -> None:
    process = house.host(SIMULATED_DEAF=1)
    job_id = house.submit(seconds=2)
    worker = house.begun()
    os.kill(worker, signal.SIGSTOP)  # it cannot give its task back
    end(process, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    house.host()
    assert house.ended(job_id, seconds=20).state == "completed"


def test_a_process_that_ends_takes_its_worker_along(house: House) -> None:
    process = house.host()
    job_id = house.submit(seconds=2)
    worker = house.begun()
    assert end(process) < 5.0
    assert not is_alive(worker)
    assert house.job(job_id).task("recognize:0").attempts == 0
