"""Leases survive jumps of the clock and outages of the store."""

from pathlib import Path

import pytest

from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.transitions import alive, claimed
from meet_transcriber.service import Maintenance, Policy
from meet_transcriber.service.maintenance import ClockJumpDetector
from meet_transcriber.service.webhooks import WebhookDispatcher
from tests.unit.fakes import FakeClock
from tests.unit.service.conftest import ServiceFixture, open_fixture

HOUR = 3600.0


class Machine:
    """A service whose wall clock can be set while its monotonic clock goes on."""

    def __init__(self, fixture: ServiceFixture) -> None:
        self.fixture, self.steady = fixture, FakeClock()
        postman = WebhookDispatcher(
            fixture.context, fixture.sender, lambda _: None, lambda *_: None
        )
        self.maintenance = Maintenance(fixture.context, "test", postman, self.steady)

    def passes(self, seconds: float) -> None:
        """Time goes by, and is tended through, two seconds at a time."""
        for _ in range(round(seconds / 2)):
            self.fixture.clock.at += 2
            self.steady.at += 2
            self.maintenance.run_once()
            self.maintenance.wait()

    def hold(self) -> Job:
        """Have a worker hold a task."""
        job = self.fixture.submit()
        return self.fixture.jobs.update(
            job.id, lambda job: claimed(job, ["cpu"], "w", self.fixture.clock(), 30)
        ).after

    def state(self, job: Job) -> tuple[str, int]:
        task = self.fixture.jobs.get(job.id).task("prepare")
        return task.state, task.attempts

    def renew(self, job: Job) -> None:
        self.fixture.jobs.update(
            job.id, lambda job: alive(job, "prepare", job.fence, 0.0, self.fixture.clock(), 30)
        )


@pytest.fixture
def machine(fixture: ServiceFixture) -> Machine:
    return Machine(fixture)


def test_a_clock_set_forward_expires_no_renewed_lease(machine: Machine) -> None:
    job = machine.hold()
    machine.fixture.clock.at += HOUR
    machine.passes(4)
    machine.renew(job)
    machine.passes(28)
    assert machine.state(job) == ("running", 0)


def test_a_lease_that_is_not_renewed_after_a_jump_expires(machine: Machine) -> None:
    job = machine.hold()
    machine.fixture.clock.at += HOUR
    machine.passes(34)
    assert machine.state(job) == ("ready", 1)


def test_a_clock_set_back_does_not_prolong_leases_of_dead_workers(machine: Machine) -> None:
    dead, living = machine.hold(), machine.hold()
    machine.fixture.clock.at -= HOUR
    machine.passes(4)
    machine.renew(living)
    machine.passes(28)
    assert (machine.state(dead), machine.state(living)) == (("ready", 1), ("running", 0))


def test_the_maintenance_lock_of_a_dead_process_expires(machine: Machine) -> None:
    assert machine.fixture.jobs.lock("maintenance", "dead", 10, machine.fixture.clock())
    machine.fixture.clock.at -= HOUR
    assert machine.maintenance.run_once()


def test_workers_have_time_to_renew_their_leases_after_an_outage(machine: Machine) -> None:
    job = machine.hold()
    machine.fixture.clock.at += 40
    machine.steady.at += 40
    machine.maintenance.run_once()
    assert machine.state(job) == ("running", 0)
    machine.passes(32)
    assert machine.state(job) == ("ready", 1)


def test_results_are_not_deleted_because_a_clock_was_set(tmp_path: Path) -> None:
    with open_fixture(tmp_path, Policy(part_seconds=100, result_ttl_seconds=HOUR / 2)) as fixture:
        machine = Machine(fixture)
        job = fixture.complete_job()
        machine.passes(2)
        fixture.clock.at += HOUR
        machine.passes(100)
        assert not fixture.jobs.get(job.id).deleted
        machine.passes(HOUR / 2)
        with pytest.raises(JobNotFound):
            fixture.jobs.get(job.id)


def test_a_corrected_clock_delays_nothing() -> None:
    clock, steady = FakeClock(), FakeClock()
    steps = ClockJumpDetector(clock, steady, 30)
    clock.at += HOUR
    steps.check()
    assert (steps.skew, steps.is_stable) == (HOUR, False)
    clock.at -= HOUR
    steps.check()
    assert (steps.skew, steps.went_back) == (0.0, True)
