"""Jobs whose maintenance fails or takes long hold up no other."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from meet_transcriber.core.errors import StorageError, StorageUnavailable
from meet_transcriber.core.jobs import Job, Webhook
from meet_transcriber.core.options import Options
from meet_transcriber.core.transitions import _beginning, claimed, deleted, ended
from meet_transcriber.observability.metrics import PrometheusMeters
from meet_transcriber.ports.stores import Updated
from meet_transcriber.service import Maintenance, Policy
from meet_transcriber.service.maintenance import DelayedJobs
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.fakes import FakeClock
from tests.unit.service.conftest import ServiceFixture, open_fixture

FAILURES = "transcription_maintenance_failures_total"
SECONDS = 30


class RefusingStore(DiskMediaStore):
    """Objects that may not be deleted, as in a bucket without that permission."""

    refuses = True
    deletions = 0

    def delete(self, prefix: str) -> None:
        self.deletions += 1
        if self.refuses:
            raise StorageError("Access Denied.")
        super().delete(prefix)


class HangingStore(DiskMediaStore):
    """Objects whose deletion waits."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.release = threading.Event()

    def delete(self, prefix: str) -> None:
        assert self.release.wait(SECONDS)
        super().delete(prefix)


def leave_object(fixture: ServiceFixture, job_id: str, tenant: str = "") -> Job:
    """An ended job with an object that it does not need."""
    fixture.media.put(f"jobs/{job_id}/old", b"x")
    job = Job(job_id, Options(), tenant=tenant, created_at=fixture.clock())
    return fixture.jobs.create(ended(job, "completed", fixture.clock()))


def hold_task(fixture: ServiceFixture, job_id: str, worker: str = "dead") -> None:
    job = Job(job_id, Options(), created_at=fixture.clock())
    fixture.jobs.create(replace(job, tasks=_beginning(job)))
    fixture.jobs.update(job_id, lambda job: claimed(job, ["cpu"], worker, fixture.clock(), 30))


def state(fixture: ServiceFixture, job_id: str) -> str:
    return fixture.jobs.get(job_id).task("prepare").state


def maintain(maintenance: Maintenance, fixture: ServiceFixture, seconds: float) -> None:
    """Run every two seconds for so long."""
    for _ in range(round(seconds / 2)):
        fixture.clock.at += 2
        maintenance.run_once()
        maintenance.wait()


@pytest.fixture
def meters() -> PrometheusMeters:
    return PrometheusMeters("1")


def failures(meters: PrometheusMeters) -> float:
    return meters.registry.get_sample_value(FAILURES) or 0.0


def test_jobs_whose_objects_cannot_be_deleted_hold_up_no_other(
    fixture: ServiceFixture, tmp_path: Path, meters: PrometheusMeters
) -> None:
    media = RefusingStore(tmp_path / "media")
    context = replace(fixture.context, media=media, meters=meters)
    maintenance = Maintenance(context, "test", fixture.webhooks)
    for number in range(150):
        leave_object(fixture, f"b{number:03}")
    hold_task(fixture, "live")
    maintain(maintenance, fixture, 32)
    assert state(fixture, "live") == "ready"
    assert failures(meters) >= 150
    maintain(maintenance, fixture, 1800)
    tried = media.deletions
    assert tried < 150 * 11  # of 900 if each were tried every two seconds
    media.refuses = False
    maintain(maintenance, fixture, 950)
    assert fixture.stored_keys() == []


def test_another_process_waits_as_well_before_it_tries_again(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    media = RefusingStore(tmp_path / "media")
    context = replace(fixture.context, media=media)
    leave_object(fixture, "b")
    maintain(Maintenance(context, "one", fixture.webhooks), fixture, 400)
    tried = media.deletions
    fixture.jobs.unlock("maintenance", "one")
    maintain(Maintenance(context, "two", fixture.webhooks), fixture, 10)
    assert media.deletions == tried


def test_a_hanging_store_of_objects_holds_up_neither_leases_nor_webhooks(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    media = HangingStore(tmp_path / "media")
    maintenance = Maintenance(replace(fixture.context, media=media), "test", fixture.webhooks)
    for number in range(150):
        leave_object(fixture, f"b{number:03}")
    maintenance.run_once()
    hold_task(fixture, "live")
    for _ in range(16):
        fixture.clock.at += 2
        assert maintenance.run_once()
    assert state(fixture, "live") == "ready"
    media.release.set()
    for _ in range(10):
        fixture.clock.at += 2
        maintenance.run_once()
        maintenance.wait()
    assert fixture.stored_keys() == []


def test_a_tenant_with_slow_deletions_does_not_hold_those_of_others(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    class Slow(HangingStore):
        def delete(self, prefix: str) -> None:
            if prefix.startswith("jobs/a"):
                super().delete(prefix)
            else:
                DiskMediaStore.delete(self, prefix)
                bob.set()

    bob, media = threading.Event(), Slow(tmp_path / "media")
    maintenance = Maintenance(replace(fixture.context, media=media), "test", fixture.webhooks)
    for number in range(20):
        leave_object(fixture, f"a{number}", "alice")
    leave_object(fixture, "b", "bob")
    maintenance.run_once()
    assert bob.wait(SECONDS / 2)
    media.release.set()
    maintenance.wait()


def test_objects_that_cannot_be_deleted_delay_no_webhook(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    context = replace(fixture.context, media=RefusingStore(tmp_path / "media"))
    maintenance = Maintenance(context, "test", fixture.webhooks)
    fixture.sender.outcomes = ["retry"] * 4
    job = leave_object(fixture, "b")
    hook = Webhook("http://127.0.0.1/", "b-1", next_at=fixture.clock())
    fixture.jobs.update(job.id, lambda job: replace(job, webhook=hook))
    for _ in range(140):  # the fixture's schedule has an attempt every minute
        maintain(maintenance, fixture, 2)
        fixture.webhooks.wait()
    found = fixture.jobs.get(job.id).webhook
    assert found is not None
    assert (found.outcome, found.attempts) == ("delivered", 5)


class FailingJobs(SqliteJobStore):
    """Some records cannot be changed."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(path)
        self.error, self.asked = error, 0

    def update(self, job_id: str, change: object) -> Updated:
        if job_id.startswith("bad"):
            self.asked += 1
            raise self.error
        return super().update(job_id, change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [StorageError("damaged"), StorageUnavailable("busy"), ZeroDivisionError()]
)
def test_records_that_cannot_be_changed_hold_up_no_other(
    fixture: ServiceFixture, tmp_path: Path, error: Exception
) -> None:
    for number in range(120):
        leave_object(fixture, f"bad{number:03}")
    hold_task(fixture, "live")
    jobs = FailingJobs(tmp_path / "jobs.sqlite3", error)
    maintenance = Maintenance(replace(fixture.context, jobs=jobs), "test", fixture.webhooks)
    fixture.clock.at += 31
    for _ in range(200):
        try:
            maintenance.run_once()
        except StorageUnavailable:
            continue
    assert state(fixture, "live") == "ready"
    jobs.close()


def test_the_tasks_of_a_dead_worker_are_all_released(fixture: ServiceFixture) -> None:
    for number in range(250):
        hold_task(fixture, f"c{number:03}")
        hold_task(fixture, f"d{number:03}", "alive")
    fixture.maintenance.release_dead_workers(["dead"])
    assert {state(fixture, f"c{number:03}") for number in range(250)} == {"ready"}
    assert {state(fixture, f"d{number:03}") for number in range(250)} == {"running"}


def test_results_that_a_wrong_clock_keeps_hold_up_no_other(tmp_path: Path) -> None:
    with open_fixture(tmp_path, Policy(result_ttl_seconds=60)) as fixture:
        steady = FakeClock()
        maintenance = Maintenance(fixture.context, "test", fixture.webhooks, steady)
        for number in range(150):
            leave_object(fixture, f"b{number:03}")
        maintenance.run_once()
        maintenance.wait()
        fixture.clock.at += 3600  # set forward
        maintenance.run_once()
        hold_task(fixture, "live")
        for _ in range(17):
            fixture.clock.at += 2
            steady.at += 2
            maintenance.run_once()
        assert state(fixture, "live") == "ready"


def test_more_jobs_than_one_batch_are_processed_in_a_run(fixture: ServiceFixture) -> None:
    for number in range(250):
        hold_task(fixture, f"c{number:03}")
    fixture.clock.at += 31
    fixture.maintenance.run_once()
    assert {state(fixture, f"c{number:03}") for number in range(250)} == {"ready"}


class LosingJobs(SqliteJobStore):
    """Another process takes the lock after it was acquired once."""

    def lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        held = super().lock(name, holder, seconds, now)
        if held:
            self.unlock(name, holder)
            super().lock(name, "another process", seconds, now)
        return held


def test_a_run_renews_its_lock_and_ends_when_it_is_lost(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    for number in range(250):
        hold_task(fixture, f"c{number:03}")
    fixture.clock.at += 31
    jobs = LosingJobs(tmp_path / "jobs.sqlite3")
    Maintenance(replace(fixture.context, jobs=jobs), "test", fixture.webhooks).run_once()
    states = [state(fixture, f"c{number:03}") for number in range(250)]
    assert (states.count("ready"), states.count("running")) == (100, 150)
    jobs.close()


def test_a_deletion_that_failed_is_repeated(fixture: ServiceFixture, tmp_path: Path) -> None:
    media = RefusingStore(tmp_path / "media")
    maintenance = Maintenance(replace(fixture.context, media=media), "test", fixture.webhooks)
    job = leave_object(fixture, "b")
    fixture.jobs.update(job.id, lambda job: deleted(job, fixture.clock()))
    maintain(maintenance, fixture, 10)
    media.refuses = False
    maintain(maintenance, fixture, 20)
    assert (fixture.stored_keys(), fixture.jobs.due(float("inf"), 9)) == ([], [])


def test_delays_double_up_to_a_quarter_of_an_hour() -> None:
    clock = FakeClock()
    delayed = DelayedJobs(clock)
    delays = [delayed.failed("a") for _ in range(10)]
    assert delays == [4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert delayed.ids() == {"a"}
    clock.at += 900
    assert delayed.ids() == set()
    delayed.succeeded("a")
    assert delayed.failed("a") == 4


def test_delayed_jobs_take_bounded_memory() -> None:
    delayed = DelayedJobs(FakeClock())
    for number in range(20_000):
        delayed.failed(f"j{number}")
    assert len(delayed.ids()) == len(delayed._failures) == 10_000
