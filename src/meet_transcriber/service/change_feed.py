"""
One poller per process that tells subscribers which jobs changed.

While there are subscribers, a task reads the store's change mark every `POLL_SECONDS`. When the
mark has moved, it reads each changed job once and hands the same record to every subscriber, so
the load on the store does not depend on their number.
"""

import asyncio
import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from meet_transcriber.core.errors import (
    JobNotFound,
    StorageError,
    StorageUnavailable,
    TranscriptionError,
)
from meet_transcriber.core.executors import Batcher
from meet_transcriber.core.jobs import SHOWN, Changes, Job, JobQuery
from meet_transcriber.ports.stores import JobStore
from meet_transcriber.service.queries import JobQueries, Wait

POLL_SECONDS = 0.1
SNAPSHOT_JOBS = 50
_POSITIONS_SECONDS = 0.5
_MOST_PENDING = 1000
"""Jobs that a slow subscriber may fall behind by before it gets a snapshot instead."""

_NO_WAIT = Wait(None, None)


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """
    A job after a change.

    Attributes:
        job: its record; None where it is removed, deleted or unreadable.
        wait: its place in the queue; known only where `error` is None.
        error: why it cannot be shown: JobNotFound for a deleted job and for an upload that is no
            job yet, StorageError for an unreadable record.
        rendered: what subscribers made of it, for the others, who get the same object.
    """

    job_id: str
    job: Job | None = None
    wait: Wait = _NO_WAIT
    error: TranscriptionError | None = None
    rendered: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_upload(self) -> bool:
        """Whether the recording is still being received."""
        return self.job is not None and self.error is not None

    def shown(self) -> Job:
        """The record; raises `error`."""
        if self.error is not None or self.job is None:
            raise self.error or JobNotFound(f"There is no job {self.job_id}.")
        return self.job


@dataclass
class Updates:
    """
    What a subscriber has not seen yet.

    Attributes:
        snapshot: the newest jobs, newest first, in place of all that was seen before; None
            where the subscriber is up to date but for `changed`.
        changed: latest update by job id, in order of change; after the snapshot.
    """

    snapshot: list[JobUpdate] | None = None
    changed: dict[str, JobUpdate] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.snapshot is not None or bool(self.changed)


class Subscription:
    """Collects updates between two calls of `next`; several of one job become the latest one."""

    def __init__(self, job_id: str | None, patience_seconds: float) -> None:
        self.job_id = job_id
        self.patience_seconds = patience_seconds
        self._pending = Updates()
        self._error: BaseException | None = None
        self._ready = asyncio.Event()

    async def next(self, seconds: float) -> Updates:
        """
        Return pending updates, after at most so many seconds; empty without any.

        Raises:
            StorageError: the store has been failing for longer than the patience.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        self._ready.clear()
        if self._error is not None:
            raise self._error
        taken, self._pending = self._pending, Updates()
        return taken

    def offer(self, update: JobUpdate) -> bool:
        """Add an update; False where there are too many, so that a snapshot has to follow."""
        changed = self._pending.changed
        # Removed first, as a dict keeps the old place of a key.
        changed.pop(update.job_id, None)
        if len(changed) >= _MOST_PENDING:
            changed.clear()
            return False
        changed[update.job_id] = update
        self._ready.set()
        return True

    def replace(self, snapshot: list[JobUpdate]) -> None:
        """Replace what is pending by a snapshot."""
        self._pending = Updates(snapshot)
        self._ready.set()

    def fail(self, error: BaseException) -> None:
        """Let `next` raise."""
        self._error = error
        self._ready.set()


class _Channel:
    """
    The subscribers of one tenant, and what each has yet to receive.

    Belongs to the event loop; only `_read` runs in a thread.
    """

    def __init__(self, store: JobStore, queries: JobQueries) -> None:
        self._store = store
        self._queries = queries
        self.mark: int | None = None
        self.subscriptions: set[Subscription] = set()
        self._unread: dict[str, None] = {}
        self._without_snapshot: set[Subscription] = set()
        self._waiting: dict[str, JobUpdate] = {}
        self._positions_mark: int | None = None
        self._positions_at = -math.inf

    def add(self, subscription: Subscription) -> None:
        """Add a subscriber; its first update is the present state."""
        self.subscriptions.add(subscription)
        self._owe(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscriber."""
        self.subscriptions.discard(subscription)
        self._without_snapshot.discard(subscription)

    def note(self, changes: Changes) -> None:
        """Queue the changed jobs that have subscribers for reading."""
        self.mark = changes.mark
        # The store has forgotten changes since the mark: everyone begins anew.
        if changes.missed:
            for each in self.subscriptions:
                self._owe(each)
        if changes.missed or not changes.jobs:
            return
        followed = {each.job_id for each in self.subscriptions}
        for job_id in changes.jobs:
            if None in followed or job_id in followed:
                # Removed first, so that jobs are read in the order of their latest change.
                self._unread.pop(job_id, None)
                self._unread[job_id] = None

    async def publish(self) -> None:
        """Read what is owed and deliver it; what a failure interrupts stays owed."""
        job_ids, owed = list(self._unread), set(self._without_snapshot)
        waiting = self._positions_due()
        if not (job_ids or owed or waiting):
            return
        updates, snapshot = await asyncio.to_thread(self._read, job_ids, waiting, bool(owed))
        for job_id in job_ids:
            self._unread.pop(job_id, None)
        if waiting:
            self._positions_mark, self._positions_at = self.mark, time.monotonic()
        self._without_snapshot -= owed
        for subscription in owed & self.subscriptions:
            subscription.replace(snapshot)
        for update in updates:
            self._deliver(update)
        self._track(updates, snapshot)

    def _owe(self, subscription: Subscription) -> None:
        if subscription.job_id is None:
            self._without_snapshot.add(subscription)
        else:
            self._unread[subscription.job_id] = None

    def _deliver(self, update: JobUpdate) -> None:
        for each in self.subscriptions:
            wanted = each.job_id == update.job_id or (each.job_id is None and not update.is_upload)
            if wanted and not each.offer(update):
                self._owe(each)

    def _track(self, updates: Iterable[JobUpdate], snapshot: Iterable[JobUpdate]) -> None:
        """Remember the places in the queue that subscribers to all jobs know."""
        if all(each.job_id for each in self.subscriptions):
            self._waiting.clear()
            return
        for update in updates:
            self._waiting.pop(update.job_id, None)
            if update.wait.position is not None:
                self._waiting[update.job_id] = update
        for update in snapshot:
            # Other subscribers may know an older position: it is kept, so that the next check
            # updates them.
            if update.wait.position is not None:
                self._waiting.setdefault(update.job_id, update)
                self._positions_mark = None

    def _positions_due(self) -> list[JobUpdate]:
        """Jobs whose place is to be checked: it changes without their records."""
        pause = time.monotonic() - self._positions_at
        if self.mark == self._positions_mark or pause < _POSITIONS_SECONDS:
            return []
        return list(self._waiting.values())

    # -- in a thread -------------------------------------------------------------------------

    def _read(
        self, job_ids: Collection[str], waiting: Iterable[JobUpdate], snapshot: bool
    ) -> tuple[list[JobUpdate], list[JobUpdate]]:
        updates = [self._update(job_id) for job_id in job_ids]
        updates += self._moved([each for each in waiting if each.job_id not in job_ids])
        newest = self._queries.page(JobQuery(limit=SNAPSHOT_JOBS)) if snapshot else []
        return updates, [JobUpdate(job.id, job, self._queries.wait(job)) for job in newest]

    def _update(self, job_id: str) -> JobUpdate:
        try:
            job = self._store.get(job_id)
        except StorageUnavailable:
            raise
        except (JobNotFound, StorageError) as error:
            return JobUpdate(job_id, error=error)
        if not job.deleted and job.state in SHOWN:
            return JobUpdate(job_id, job, self._queries.wait(job))
        missing = JobNotFound(f"There is no job {job_id}.")
        return JobUpdate(job_id, None if job.deleted else job, error=missing)

    def _moved(self, waiting: Sequence[JobUpdate]) -> Iterator[JobUpdate]:
        known = {each.job_id: each.wait.position for each in waiting}
        jobs = sorted((each.shown() for each in waiting), key=lambda job: job.created_at)
        for job, position in zip(jobs, self._queries.positions(jobs), strict=True):
            if position != known[job.id]:
                yield JobUpdate(job.id, job, self._queries.wait(job, position))


_Wanted = tuple[str, int | None]


class ChangeFeed:
    """
    Subscriptions to jobs, and reads of the change mark that concurrent callers share.

    To be used from the thread of an event loop.
    """

    def __init__(self, store: JobStore, queries: JobQueries) -> None:
        self._store = store
        self._queries = queries
        self._channels: dict[str, _Channel] = {}
        self._poller: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._failing_since: float | None = None
        self._batcher = Batcher(self._read_in_order, "changes")

    @contextmanager
    def subscribe(
        self, tenant: str, job_id: str | None = None, patience_seconds: float = math.inf
    ) -> Iterator[Subscription]:
        """
        Subscribe to one job, or to all of a tenant's, within the context.

        The first update is the present state: of one job its record, of all jobs a snapshot.

        Args:
            patience_seconds: how long the store may be away before `Subscription.next` raises.
        """
        subscription = Subscription(job_id, patience_seconds)
        channel = self._channels.get(tenant)
        if channel is None:
            channel = self._channels[tenant] = _Channel(
                self._store, self._queries.for_tenant(tenant)
            )
        channel.add(subscription)
        self._ensure_polling()
        try:
            yield subscription
        finally:
            channel.remove(subscription)
            # Meanwhile it may have been removed, and another one made for later subscribers.
            if not channel.subscriptions and self._channels.get(tenant) is channel:
                del self._channels[tenant]

    def _ensure_polling(self) -> None:
        if self._poller is None or self._poller.done():
            # An event belongs to its loop, which may have ended with the poller before.
            self._wake = asyncio.Event()
            self._poller = asyncio.create_task(self._poll())
            self._poller.add_done_callback(self._report_defect)
        self._wake.set()

    async def _poll(self) -> None:
        while self._channels:
            self._wake.clear()
            try:
                await self._publish()
                self._failing_since = None
            except StorageError as error:
                self._failing_since = self._failing_since or time.monotonic()
                self._fail(error, time.monotonic() - self._failing_since)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    async def _publish(self) -> None:
        channels = dict(self._channels)
        wanted = {(tenant, channel.mark) for tenant, channel in channels.items()}
        found = await asyncio.to_thread(self._read, wanted)
        for (tenant, _), changes in found.items():
            channels[tenant].note(changes)
        for channel in channels.values():
            await channel.publish()

    def _fail(self, error: BaseException, seconds: float) -> None:
        """End the subscriptions that are not patient enough for a failure of this length."""
        for channel in self._channels.values():
            for each in channel.subscriptions:
                if seconds > each.patience_seconds or seconds == math.inf:
                    each.fail(error)

    def _report_defect(self, poller: asyncio.Task[None]) -> None:
        """Let the subscribers raise what ended the poller, as they would wait for ever."""
        if not poller.cancelled() and (error := poller.exception()):
            self._fail(error, math.inf)

    # -- what changed, on demand -----------------------------------------------------------

    async def changes(self, tenant: str, since: int | None) -> Changes:
        """
        Return what happened to a tenant's jobs after a mark, never older than the call.

        Raises:
            StorageError: the store does not answer.
        """
        return await self._batcher.ask((tenant, since))

    def changes_now(self, tenant: str, since: int | None) -> Changes:
        """Return the same without a thread, for a store that answers within microseconds."""
        return self._read([(tenant, since)])[tenant, since]

    def _read(self, wanted: Collection[_Wanted]) -> dict[_Wanted, Changes]:
        """Read the mark once, and the changes of those that are behind it."""
        mark = self._store.mark()
        return {
            (tenant, since): Changes(mark)
            if since is None or since == mark
            else self._store.changes(tenant, since)
            for tenant, since in wanted
        }

    def _read_in_order(self, wanted: Sequence[_Wanted]) -> list[Changes]:
        found = self._read(set(wanted))
        return [found[each] for each in wanted]
