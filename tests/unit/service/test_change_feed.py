"""One poller per process: what subscribers receive, and what that costs the store."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.errors import JobNotFound, StorageError, StorageUnavailable
from meet_transcriber.core.jobs import Changes, Job
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.ports.stores import JobStore
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.service.change_feed import JobUpdate, Subscription, Updates
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.api.service_fixture import complete_job, make_service, work

PATIENCE = 10.0


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return make_service(tmp_path)


def submitted(service: Service, name: str = "a.wav") -> str:
    upload = service.submissions.start_upload(name)
    upload.write(b"tape")
    return upload.finish(SubmissionRequest()).id


def states(updates: Updates) -> list[tuple[str, str]]:
    """Job ids with their states, or with `gone`."""
    return [
        (each.job_id, each.job.state if each.job and not each.error else "gone")
        for each in [*(updates.snapshot or ()), *updates.changed.values()]
    ]


def following(
    service: Service, steps: Callable[[Subscription], Awaitable[None]], job_id: str | None = None
) -> None:
    """Run steps with a subscription."""

    async def run() -> None:
        with service.changes.subscribe("", job_id) as subscription:
            await steps(subscription)

    asyncio.run(run())


def test_a_subscriber_to_all_jobs_first_gets_the_newest_first(service: Service) -> None:
    ids = [complete_job(service, f"{at}.wav").id for at in range(3)]

    async def steps(subscription: Subscription) -> None:
        updates = await subscription.next(PATIENCE)
        assert updates.snapshot is not None
        assert states(updates) == [(job_id, "completed") for job_id in ids[::-1]]
        assert not await subscription.next(0.3)

    following(service, steps)


def test_changed_and_removed_jobs_follow_the_snapshot(service: Service) -> None:
    gone = complete_job(service).id

    async def steps(subscription: Subscription) -> None:
        await subscription.next(PATIENCE)
        job_id = submitted(service)
        service.commands.delete(gone)
        await asyncio.sleep(0.5)
        assert states(await subscription.next(PATIENCE)) == [(job_id, "pending"), (gone, "gone")]
        work(service)
        await asyncio.sleep(0.5)
        updates = await subscription.next(PATIENCE)
        assert updates.snapshot is None
        assert states(updates) == [(job_id, "completed")]

    following(service, steps)


def test_a_subscriber_to_one_job_gets_its_state_and_each_change_of_it(service: Service) -> None:
    job_id, other = submitted(service), submitted(service)

    async def steps(subscription: Subscription) -> None:
        assert states(await subscription.next(PATIENCE)) == [(job_id, "pending")]
        service.commands.cancel(other)
        assert not await subscription.next(0.3)
        service.commands.cancel(job_id)
        assert states(await subscription.next(PATIENCE)) == [(job_id, "cancelled")]
        service.commands.delete(job_id)
        update = (await subscription.next(PATIENCE)).changed[job_id]
        with pytest.raises(JobNotFound):
            update.shown()

    following(service, steps, job_id)


def test_a_job_that_moves_up_in_the_queue_is_an_update(service: Service) -> None:
    first, second = submitted(service), submitted(service)

    async def steps(subscription: Subscription) -> None:
        updates = await subscription.next(PATIENCE)
        assert [each.wait.position for each in updates.snapshot or ()] == [2, 1]
        service.commands.cancel(first)
        found: dict[str, int | None] = {}
        while len(found) < 2:
            changed = (await subscription.next(PATIENCE)).changed
            found |= {each.job_id: each.wait.position for each in changed.values()}
        assert found == {first: None, second: 1}

    following(service, steps)


def test_an_upload_is_not_an_update_before_it_becomes_a_job(service: Service) -> None:
    async def steps(subscription: Subscription) -> None:
        await subscription.next(PATIENCE)
        upload = service.submissions.create_upload("a.wav", 4)
        receiving = service.uploads.receive(upload.id, 0)
        receiving.write(b"tape")
        receiving.close()
        assert not await subscription.next(0.5)
        service.submissions.submit_upload(upload.id, SubmissionRequest())
        assert states(await subscription.next(PATIENCE)) == [(upload.id, "pending")]

    following(service, steps)


def test_each_tenant_gets_its_own_jobs(service: Service) -> None:
    async def steps(subscription: Subscription) -> None:
        assert not states(await subscription.next(PATIENCE))
        submitted(service.for_tenant("theirs"))
        assert not await subscription.next(0.5)

    following(service, steps)


class Changing(SqliteJobStore):
    """A store that loses changes, does not answer, or has an unreadable record on demand."""

    forgets = unavailable = False
    unreadable = ""

    def changes(self, tenant: str, since: int) -> Changes:
        found = super().changes(tenant, since)
        return replace(found, jobs=(), missed=True) if self.forgets else found

    def get(self, job_id: str) -> Job:
        if job_id == self.unreadable:
            raise StorageError("The record cannot be read.")
        return super().get(job_id)

    def workers(self, now: float) -> list[WorkerInfo]:
        if self.unavailable:
            self.unavailable = False
            raise StorageUnavailable("The store does not answer.")
        return super().workers(now)


@pytest.fixture
def store(service: Service, tmp_path: Path) -> Changing:
    return Changing(tmp_path / "jobs.sqlite3")


def on(service: Service, store: JobStore) -> Service:
    return Service(replace(service.context, jobs=store))


def test_a_new_snapshot_follows_when_changes_were_missed(service: Service, store: Changing) -> None:
    async def steps(subscription: Subscription) -> None:
        await subscription.next(PATIENCE)
        store.forgets = True
        job_id = submitted(service)
        updates = await subscription.next(PATIENCE)
        assert updates.snapshot is not None
        assert states(updates) == [(job_id, "pending")]

    following(on(service, store), steps)


def test_a_subscriber_that_falls_too_far_behind_needs_a_snapshot() -> None:
    async def run() -> None:
        subscription = Subscription(None, PATIENCE)
        accepted = [subscription.offer(JobUpdate(str(at))) for at in range(1001)]
        assert accepted == [*[True] * 1000, False]
        assert not await subscription.next(0)

    asyncio.run(run())


def test_updates_delayed_by_a_failing_store_arrive_later(service: Service, store: Changing) -> None:
    async def steps(subscription: Subscription) -> None:
        store.unavailable = True
        submitted(service)
        assert (await subscription.next(PATIENCE)).snapshot
        store.unavailable = True
        job_id = submitted(service)
        assert states(await subscription.next(PATIENCE)) == [(job_id, "pending")]

    following(on(service, store), steps)


def test_an_unreadable_record_affects_only_its_own_subscribers(
    service: Service, store: Changing
) -> None:
    bad, good = submitted(service), submitted(service)
    store.unreadable = bad
    broken = on(service, store)

    async def run() -> None:
        with broken.changes.subscribe("", bad) as one, broken.changes.subscribe("", good) as other:
            with pytest.raises(StorageError):
                (await one.next(PATIENCE)).changed[bad].shown()
            assert states(await other.next(PATIENCE)) == [(good, "pending")]

    asyncio.run(run())


def test_a_defect_ends_subscriptions_instead_of_leaving_them_silent(service: Service) -> None:
    class Defective(SqliteJobStore):
        def mark(self) -> int:
            raise ZeroDivisionError

    async def run() -> None:
        for _ in range(2):
            with (
                broken.changes.subscribe("") as subscription,
                pytest.raises(ZeroDivisionError),
            ):
                await subscription.next(PATIENCE)

    broken = on(service, Defective(Path("unused")))
    asyncio.run(run())


def test_the_poller_runs_only_while_there_are_subscribers(service: Service) -> None:
    async def run() -> None:
        for _ in range(2):
            with service.changes.subscribe("") as subscription:
                await subscription.next(PATIENCE)
                assert len(asyncio.all_tasks()) == 2
            async with asyncio.timeout(PATIENCE):
                while len(asyncio.all_tasks()) > 1:
                    await asyncio.sleep(0.01)

    asyncio.run(run())


# -- what it costs ---------------------------------------------------------------------------


class Counting:
    """A store that counts the calls of its methods by name."""

    def __init__(self, store: JobStore) -> None:
        self.calls = Counter[str]()
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any) -> Any:
            self.calls[name] += 1
            return method(*args)

        return call


JOBS = 50


def reads(folder: Path, listeners: int) -> Counter[str]:
    """The calls of a real store when each of 50 jobs changes once, with so many listeners."""
    plain = make_service(folder)
    store = Counting(plain.context.jobs)
    service = on(plain, store)
    ids = [submitted(plain) for _ in range(JOBS)]

    async def run() -> None:
        with ExitStack() as stack:
            subscriptions = [
                stack.enter_context(service.changes.subscribe("", ids[at % JOBS]))
                for at in range(listeners)
            ]
            whole = [stack.enter_context(service.changes.subscribe("")) for _ in range(listeners)]
            for each in [*subscriptions, *whole]:
                assert await each.next(PATIENCE)
            store.calls.clear()
            for job_id in ids:
                plain.commands.cancel(job_id)
            await asyncio.sleep(1.0)
            for at, each in enumerate(subscriptions):
                assert states(await each.next(PATIENCE)) == [(ids[at % JOBS], "cancelled")]
            for each in whole:
                assert len(states(await each.next(PATIENCE))) == JOBS

    asyncio.run(run())
    return store.calls


def test_the_load_on_the_store_does_not_depend_on_the_number_of_subscribers(tmp_path: Path) -> None:
    few, many = reads(tmp_path / "few", 50), reads(tmp_path / "many", 300)
    for calls in (few, many):
        assert calls.pop("mark") <= 30  # one every 0.1 s for as long as this takes
    assert few == many
    assert many == {"get": JOBS, "changes": 1}


def reads_of_a_move(folder: Path, waiting: int) -> Counter[str]:
    """The calls of a real store when the first of so many waiting jobs ends."""
    plain = make_service(folder)
    store = Counting(plain.context.jobs)
    service = on(plain, store)
    first, *others = [submitted(plain) for _ in range(waiting + 1)]

    async def steps(subscription: Subscription) -> None:
        places = {each.job_id: each.wait.position for each in await all_of(subscription)}
        assert places == {job_id: at + 1 for at, job_id in enumerate([first, *others])}
        await asyncio.sleep(1.0)  # for the second reading of the places
        store.calls.clear()
        plain.commands.cancel(first)
        while places != {first: None} | {job_id: at + 1 for at, job_id in enumerate(others)}:
            found = (await subscription.next(PATIENCE)).changed.values()
            places |= {each.job_id: each.wait.position for each in found}

    following(service, steps)
    store.calls.pop("mark")
    return store.calls


async def all_of(subscription: Subscription) -> list[JobUpdate]:
    return (await subscription.next(PATIENCE)).snapshot or []


def test_jobs_that_move_up_together_cost_a_few_reads(tmp_path: Path) -> None:
    few, many = reads_of_a_move(tmp_path / "few", 5), reads_of_a_move(tmp_path / "many", 45)
    assert few == many
    assert few.total() < 10


def test_concurrent_calls_share_a_read(service: Service) -> None:
    free = threading.Event()

    class Slow(Counting):
        def mark(self) -> int:
            self.calls["mark"] += 1
            assert free.wait(PATIENCE)
            return self.calls["mark"]

    store = Slow(service.context.jobs)
    feed = on(service, store).changes

    async def run() -> list[int]:
        first = asyncio.create_task(feed.changes("", None))
        await asyncio.sleep(0.05)
        later = [asyncio.create_task(feed.changes("", None)) for _ in range(20)]
        await asyncio.sleep(0.05)
        free.set()
        return [(await each).mark for each in (first, *later)]

    marks = asyncio.run(run())
    assert marks == [1, *[2] * 20]
