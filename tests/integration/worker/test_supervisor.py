"""A worker that is kept alive by one of several processes, each of which may be killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulated.system import System, end, wait_for


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path, SIMULATED_PART_SECONDS=1.0) as system:
        yield system


def is_alive(pid: int) -> bool:
    """Whether a process that is not our child runs; one that nobody waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_killed_worker_costs_at_most_one_part_and_no_lease(system: System) -> None:
    system.host()
    job_id = system.submit(seconds=4)
    os.kill(system.begun(times=2), signal.SIGKILL)
    assert system.ended(job_id, seconds=20).state == "completed"  # the lease is 30 s
    assert system.words(job_id).count("word0") == 4
    assert len(system.lines("recognize begins")) == 5


def test_a_worker_ends_when_its_supervisor_is_killed(system: System) -> None:
    process = system.host()
    job_id = system.submit(seconds=2)
    worker = system.begun()
    end(process, signal.SIGKILL)
    wait_for(lambda: not is_alive(worker), seconds=5.0)
    assert system.job(job_id).task("recognize:0").state == "ready"


def test_of_two_processes_one_has_the_worker_and_the_other_succeeds_it(
    system: System,
) -> None:
    first, second = (system.host() for _ in range(2))
    job_id = system.submit(seconds=3)
    worker = system.begun()
    assert len(system.workers()) == 1
    elected = first if f"-{first.pid}-" in system.workers()[0].id else second
    end(elected, signal.SIGKILL)
    assert system.ended(job_id, seconds=20).state == "completed"
    assert not is_alive(worker)


def test_a_successor_buries_the_worker_that_died_with_its_supervisor(
    system: System,
) -> None:
    process = system.host(SIMULATED_DEAF=1)
    job_id = system.submit(seconds=2)
    worker = system.begun()
    os.kill(worker, signal.SIGSTOP)  # it cannot give its task back
    end(process, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    system.host()
    assert system.ended(job_id, seconds=20).state == "completed"


def test_a_process_that_ends_takes_its_worker_along(system: System) -> None:
    process = system.host()
    job_id = system.submit(seconds=2)
    worker = system.begun()
    assert end(process) < 5.0
    assert not is_alive(worker)
    assert system.job(job_id).task("recognize:0").attempts == 0
