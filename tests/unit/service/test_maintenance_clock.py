"""Clocks that are set, and stores that were away: nobody who lives loses a lease by it."""

from pathlib import Path

import pytest

from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.transitions import alive, claimed
from meet_transcriber.service import Maintenance, Policy
from meet_transcriber.service.maintenance import ClockJumpDetector
from meet_transcriber.service.webhooks import WebhookDispatcher
from tests.unit.fakes import Now
from tests.unit.service.conftest import House, house_in

HOUR = 3600.0


class Machine:
    """A house whose clock can be set while time goes on."""

    def __init__(self, house: House) -> None:
        self.house, self.steady = house, Now()
        postman = WebhookDispatcher(house.context, house.sender, None, lambda *_: None)
        self.tending = Maintenance(house.context, "test", postman, self.steady)

    def passes(self, seconds: float) -> None:
        """Time goes by, and is tended through, two seconds at a time."""
        for _ in range(round(seconds / 2)):
            self.house.now.at += 2
            self.steady.at += 2
            self.tending.tend()

    def hold(self) -> Job:
        """Have a worker hold a task."""
        job = self.house.submit()
        return self.house.jobs.update(
            job.id, lambda job: claimed(job, ["cpu"], "w", self.house.now(), 30)
        ).after

    def state(self, job: Job) -> tuple[str, int]:
        task = self.house.jobs.get(job.id).task("prepare")
        return task.state, task.attempts

    def renew(self, job: Job) -> None:
        self.house.jobs.update(
            job.id, lambda job: alive(job, "prepare", job.fence, 0.0, self.house.now(), 30)
        )


@pytest.fixture
def machine(house: House) -> Machine:
    return Machine(house)


def test_a_clock_set_forward_takes_no_lease_from_who_renews_it(machine: Machine) -> None:
    job = machine.hold()
    machine.house.now.at += HOUR
    machine.passes(4)
    machine.renew(job)
    machine.passes(28)
    assert machine.state(job) == ("running", 0)


def test_after_that_the_silent_lose_theirs(machine: Machine) -> None:
    job = machine.hold()
    machine.house.now.at += HOUR
    machine.passes(34)
    assert machine.state(job) == ("ready", 1)


def test_a_clock_set_back_keeps_no_lease_of_the_dead(machine: Machine) -> None:
    dead, living = machine.hold(), machine.hold()
    machine.house.now.at -= HOUR
    machine.passes(4)
    machine.renew(living)
    machine.passes(28)
    assert (machine.state(dead), machine.state(living)) == (("ready", 1), ("running", 0))


def test_who_tended_and_died_does_not_keep_others_from_it(machine: Machine) -> None:
    assert machine.house.jobs.lock("tending", "dead", 10, machine.house.now())
    machine.house.now.at -= HOUR
    assert machine.tending.tend()


def test_after_an_outage_holders_have_time_to_renew(machine: Machine) -> None:
    job = machine.hold()
    machine.house.now.at += 40
    machine.steady.at += 40
    machine.tending.tend()
    assert machine.state(job) == ("running", 0)
    machine.passes(32)
    assert machine.state(job) == ("ready", 1)


def test_results_are_not_deleted_because_a_clock_was_set(tmp_path: Path) -> None:
    with house_in(tmp_path, Policy(part_seconds=100, result_ttl_seconds=HOUR / 2)) as house:
        machine = Machine(house)
        job = house.finished()
        machine.passes(2)
        house.now.at += HOUR
        machine.passes(100)
        assert not house.jobs.get(job.id).deleted
        machine.passes(HOUR / 2)
        with pytest.raises(JobNotFound):
            house.jobs.get(job.id)


def test_a_clock_that_is_put_right_again_delays_nothing() -> None:
    clock, steady = Now(), Now()
    steps = ClockJumpDetector(clock, steady, 30)
    clock.at += HOUR
    steps.look()
    assert (steps.ahead, steps.settled) == (HOUR, False)
    clock.at -= HOUR
    steps.look()
    assert (steps.ahead, steps.went_back) == (0.0, True)
