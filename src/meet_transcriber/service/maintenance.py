"""Maintenance of jobs: expired leases, retention, leftover objects, and the thread that runs it."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from typing import TypeVar

from meet_transcriber.core.errors import JobError, StorageUnavailable, TranscriptionError
from meet_transcriber.core.jobs import QUEUES, Job, claim_queues
from meet_transcriber.core.transitions import deleted, expired
from meet_transcriber.core.voices import KNOWN_SPEAKERS
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.stores import Clock, JobStore
from meet_transcriber.service.commands import UNNAMED_LOG_SECONDS, log_written_at
from meet_transcriber.service.context import Policy, ServiceContext
from meet_transcriber.service.job_executor import JobExecutor
from meet_transcriber.service.uploads import pieces_of
from meet_transcriber.service.webhooks import WebhookDispatcher

log = get_logger(__name__)

T = TypeVar("T")

_NOTED_SECONDS = 5.0
_UNCHECKED_SECONDS = 6.0  # three intervals of maintenance


class ClockJumpDetector:
    """
    Compares the clock with a monotonic one.

    After a jump, and after a time without checks because the store was unavailable, workers get
    the time of one lease to renew their leases before these count as expired.

    Attributes:
        skew: seconds that the clock was set forward by and not back again. What cannot be
            undone, such as deleting old results, is delayed by so much.
        went_back: the clock was set back; the caller resets it to False.
    """

    def __init__(self, clock: Clock, steady: Clock, lease_seconds: float) -> None:
        self._clock, self._steady, self._lease_seconds = clock, steady, lease_seconds
        self._unchecked_seconds = max(lease_seconds / 2, _UNCHECKED_SECONDS)
        self._seen = clock(), steady()
        self._stable_at = self._seen[1]
        self.skew = 0.0
        self.went_back = False

    @property
    def is_stable(self) -> bool:
        """Whether expired leases mean that their workers died."""
        return self._steady() >= self._stable_at

    def check(self) -> None:
        """Detect a jump since the last check."""
        clock, steady = self._clock(), self._steady()
        passed = steady - self._seen[1]
        step = clock - self._seen[0] - passed
        self._seen = clock, steady
        if abs(step) > _NOTED_SECONDS:
            log.warning("clock_set", seconds=round(step))
            self.skew = max(self.skew + step, 0.0)
            self.went_back = self.went_back or step < 0
        elif passed < self._unchecked_seconds or self._clock is self._steady:
            return
        self._stable_at = steady + self._lease_seconds


_LOCK_SECONDS = 10.0  # several intervals, so that the same process keeps it
_RUN_SECONDS = 5.0  # well below that, and below the time a worker's report is kept
_BATCH = 100
_THREADS, _SHARE = 4, 2
_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 4.0, 900.0
_LATER_SECONDS = 60.0
_SWEEPS = 3
_MOST_DELAYED = 10_000
AUDIO = ("recording", "working.flac", KNOWN_SPEAKERS)
_HALF_WRITTEN_SECONDS = 3600.0
_STALE_WRITES = "stale writes"  # stands for the id of a job


class DelayedJobs:
    """
    Jobs that are due but have to wait, so that maintenance looks past them; for several threads.

    Of more than `_MOST_DELAYED` the one that was delayed first is forgotten, and looked at again.
    """

    def __init__(self, steady: Clock) -> None:
        self._steady = steady
        self._lock = threading.Lock()
        self._until: OrderedDict[str, float] = OrderedDict()
        self._failures: OrderedDict[str, int] = OrderedDict()

    def ids(self) -> set[str]:
        """The jobs that have to wait now."""
        now = self._steady()
        with self._lock:
            for job_id in [each for each, until in self._until.items() if until <= now]:
                del self._until[job_id]
            return set(self._until)

    def delay(self, job_id: str, seconds: float) -> None:
        """Let a job wait."""
        with self._lock:
            self._set(self._until, job_id, self._steady() + seconds)

    def failed(self, job_id: str) -> float:
        """Let a job wait, for longer after each failure in a row; returns for how long."""
        with self._lock:
            failures = self._failures.get(job_id, 0)
            seconds = min(_RETRY_SECONDS * 2.0 ** min(failures, 20), _LONGEST_RETRY_SECONDS)
            self._set(self._failures, job_id, failures + 1)
            self._set(self._until, job_id, self._steady() + seconds)
        return seconds

    def release(self, job_id: str) -> None:
        """Let a job wait no longer."""
        with self._lock:
            self._until.pop(job_id, None)

    def succeeded(self, job_id: str) -> None:
        """Forget the failures of a job."""
        with self._lock:
            self._failures.pop(job_id, None)

    @staticmethod
    def _set(kept: OrderedDict[str, T], job_id: str, value: T) -> None:
        kept[job_id] = value
        kept.move_to_end(job_id)
        if len(kept) > _MOST_DELAYED:
            kept.popitem(last=False)


class Maintenance:
    """
    Processes jobs that are due; safe to run in several processes.

    A run changes records only, within seconds. What may take long, deleting objects and calling
    receivers, is done in threads that tenants share fairly. A job whose maintenance fails is
    delayed, for longer each time, and holds up no other.
    """

    def __init__(
        self,
        context: ServiceContext,
        holder: str,
        webhooks: WebhookDispatcher,
        steady: Clock | None = None,
    ) -> None:
        """
        Args:
            steady: a monotonic clock; None if the context's clock is monotonic.
        """
        self._context = context
        steady = steady or context.clock
        self._clock_jumps = ClockJumpDetector(context.clock, steady, context.policy.lease_seconds)
        self._holder = holder
        self._webhooks = webhooks
        self._delayed = DelayedJobs(steady)
        self._objects = JobExecutor(_THREADS, "objects", _SHARE)
        self._stale_removed_at = 0.0

    def run_once(self) -> bool:
        """
        Process what is due, unless another process does; returns whether this one did.

        Raises:
            StorageUnavailable: the store does not respond; try again later.
        """
        holding = self._hold()
        self._clock_jumps.check()
        if not holding:
            return False
        if self._clock_jumps.is_stable:
            self._process_due()
        self._remove_stale_writes()
        self._resend_messages()
        return True

    def wait(self) -> None:
        """Wait until the objects that are being deleted are."""
        self._objects.wait()

    def close(self) -> None:
        """Begin nothing more."""
        self._objects.close()
        self._webhooks.close()

    def crashed(self) -> None:
        """Log and count the exception that ended a run."""
        self._context.meters.maintenance_failed()
        log.exception("maintenance_crashed")

    def release_dead_workers(self, workers: Collection[str]) -> None:
        """Make the tasks of dead workers ready at once."""
        # leases that were renewed lately, with some room for different clocks
        until = self._context.clock() + 2 * self._context.policy.lease_seconds
        self._release_leases(until, lambda job: expired(job, self._context.clock(), dead=workers))

    def _release_leases(self, until: float, change: Callable[[Job], Job]) -> None:
        # All of them: another batch would begin with the jobs of this one that stay due.
        limit = _BATCH
        while len(job_ids := self._context.jobs.due(until, limit)) == limit:
            limit *= 4
        for job_id in job_ids:
            self._try(job_id, partial(self._release_lease, job_id, change))

    def _hold(self) -> bool:
        """Acquire or extend the lock of maintenance."""
        now = self._context.clock()
        return self._context.jobs.lock("maintenance", self._holder, _LOCK_SECONDS, now)

    def _process_due(self) -> None:
        if self._clock_jumps.went_back:  # else leases of dead workers last until that time again
            now = self._context.clock()
            latest = now + self._context.policy.lease_seconds
            self._release_leases(math.inf, lambda job: expired(job, now, latest=latest))
            self._clock_jumps.went_back = False
        ends = time.monotonic() + _RUN_SECONDS
        more = True
        while more:
            job_ids = self._due()
            for job_id in job_ids:
                if time.monotonic() > ends:
                    return
                self._try(job_id, partial(self._process, job_id))
            # The lock is extended with each batch, and lost to another process if this one was too
            # slow.
            more = len(job_ids) == _BATCH and self._hold()

    def _due(self) -> list[str]:
        """The next jobs that are due, past those that wait or are being worked on."""
        skipped = self._delayed.ids() | self._objects.jobs() | self._webhooks.jobs()
        # As many more as are skipped, or a batch of jobs that wait would hide all others.
        found = self._context.jobs.due(self._context.clock(), _BATCH + len(skipped))
        return [job_id for job_id in found if job_id not in skipped][:_BATCH]

    def _try(self, job_id: str, step: Callable[[], object]) -> None:
        """
        Run a step for a job, whose failure concerns no other job.

        Raises:
            StorageUnavailable: as the step does; the job waits, in case it is the only one.
        """
        try:
            step()
        except JobError:  # it was removed meanwhile
            return
        except StorageUnavailable:
            self._delayed.failed(job_id)
            raise
        except Exception as error:  # noqa: BLE001 - the outermost frame of one job's step
            self._failed(job_id, error)

    def _failed(self, job_id: str, error: Exception) -> float:
        """Tell of a failure, and let the job wait; returns for how long."""
        seconds = self._delayed.failed(job_id)
        self._context.meters.maintenance_failed()
        unexpected = None if isinstance(error, TranscriptionError) else error
        told = {"job_id": job_id, "error": str(error), "retry_seconds": seconds}
        log.warning("maintenance_failed", **told, exc_info=unexpected)
        return seconds

    def _process(self, job_id: str) -> None:
        now = self._context.clock()
        old = now - self._clock_jumps.skew
        job = self._release_lease(job_id, lambda job: _expire(expired(job, now), now, old))
        if job.tidy_at is not None and job.tidy_at <= now:
            call = partial(self._tidy, job.id)
            # The queue of this tenant is full: the job stays due, and is looked at later.
            if not self._objects.submit(job.tenant, job.id, call):
                self._delayed.delay(job.id, _RETRY_SECONDS)
        elif job.expires_at is not None and job.expires_at <= now:
            self._delayed.delay(job.id, _LATER_SECONDS)  # once the clock is right again
        self._webhooks.notify(job)

    def _release_lease(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        """Change a record; log and count the leases that this ends."""
        before, job = self._context.update(job_id, change)
        held = {task.name: task.worker for task in before.in_state("running")}
        if job.state != "cancelled" and not job.deleted:
            for task in job.tasks:
                if task.name in held and task.state != "running":
                    self._context.meters.lease_expired(task.kind)
                    log.warning(
                        "lease_expired", job_id=job.id, task=task.name, worker=held[task.name]
                    )
        return job

    # -- objects ---------------------------------------------------------------------------

    def _tidy(self, job_id: str) -> None:
        """Remove the objects of a deleted or ended job that are no longer needed."""
        try:
            for _ in range(_SWEEPS):  # again, if the record changed meanwhile
                job, now = self._context.jobs.get(job_id), self._context.clock()
                if job.tidy_at is None or job.tidy_at > now:
                    break
                (self._remove if job.deleted else self._sweep)(job, now)
            self._delayed.succeeded(job_id)
        except JobError:  # it is gone
            self._delayed.succeeded(job_id)
        except Exception as error:  # noqa: BLE001 - the outermost frame of this call
            at = self._context.clock() + self._failed(job_id, error)
            with suppress(TranscriptionError):
                # in the record, for other processes, and as other things of the job may be due
                self._context.jobs.update(job_id, partial(_tidied_later, at=at))
                self._delayed.release(job_id)

    def _remove(self, job: Job, now: float) -> None:
        """Remove a deleted job, its objects first: this is retried until the record is gone."""
        self._context.media.delete(job.prefix)
        if self._context.text is not None:
            self._context.text.put_text(job.id, "")
        if now < (quiet := self._quiet_at(job)):
            self._context.jobs.update(job.id, partial(replace, tidy_at=quiet))
        else:
            self._context.jobs.remove(job.id)

    def _sweep(self, job: Job, now: float) -> None:
        """Delete the objects of an ended job that its record does not name."""
        _, job = self._context.jobs.update(
            job.id, partial(_apply_retention, policy=self._context.policy)
        )
        if not job.ended or job.deleted:
            return
        named = set(job.objects.values())
        named |= {
            piece.key for piece in pieces_of(self._context.media, job.objects.get("recording"))
        }
        found = self._context.media.keys(job.prefix)
        if self._context.jobs.version(job.id) != job.version:
            return  # the record may name what was found by now; the next run decides
        kept_until = [self._quiet_at(job)]
        for key in set(found) - named:
            written_at = log_written_at(job, key)
            if written_at is None or written_at + UNNAMED_LOG_SECONDS <= now:
                self._context.media.delete(key)
            else:  # perhaps of an edit that is about to be recorded
                kept_until.append(written_at + UNNAMED_LOG_SECONDS)
        again = min((at for at in kept_until if at > now), default=None)
        self._context.jobs.update(job.id, partial(_mark_swept, version=job.version, again=again))

    def _quiet_at(self, job: Job) -> float:
        """When every worker that still runs a task of an ended job has noticed its end."""
        held = [task.lease_until for task in job.tasks if task.state == "running"]
        return max(held) + self._context.policy.lease_seconds if held else 0.0

    def _remove_stale_writes(self) -> None:
        now = self._context.clock()
        if now - self._stale_removed_at > _HALF_WRITTEN_SECONDS / 6 and self._objects.submit(
            "", _STALE_WRITES, self._do_remove_stale_writes
        ):
            self._stale_removed_at = now

    def _do_remove_stale_writes(self) -> None:
        try:
            self._context.media.remove_stale_writes(_HALF_WRITTEN_SECONDS)
        except Exception as error:  # noqa: BLE001 - the outermost frame of this call
            self._failed(_STALE_WRITES, error)

    # -- messages --------------------------------------------------------------------------

    def _resend_messages(self) -> None:
        """Send messages for ready tasks whose messages were lost."""
        ready = self._context.jobs.backlog().ready
        for queue in QUEUES:
            missing = ready.get(queue, 0) and ready[queue] - self._context.queue.length(queue)
            if missing > 0:
                missing = min(missing, _BATCH)
                jobs = self._context.jobs.ready(claim_queues(queue), missing)
                for job_id in islice(cycle(jobs), missing):
                    self._context.notify(queue, job_id, "")


def _expire(job: Job, now: float, result_now: float) -> Job:
    """Delete an upload whose lease has run out, and a result that has expired."""
    abandoned = job.state == "uploading" and job.lease_until <= now
    old = job.ended and job.expires_at is not None and job.expires_at <= result_now
    return deleted(job, now) if abandoned or old else job


def _apply_retention(job: Job, policy: Policy) -> Job:
    """Drop the audio and set the expiry of an ended job as the policy requires."""
    if not job.ended or job.deleted:
        return job
    if job.state == "completed" and not policy.keep_audio:
        kept = {name: key for name, key in job.objects.items() if name not in AUDIO}
        job = replace(job, objects=kept)
    ttl, exempt = policy.result_ttl_seconds, job.edited and not policy.expire_edited
    expires_at = None if ttl is None or exempt else (job.finished_at or 0.0) + ttl
    return replace(job, expires_at=expires_at)


def _tidied_later(job: Job, at: float) -> Job:
    if job.tidy_at is None or job.tidy_at >= at:
        return job
    return replace(job, tidy_at=at)


def _mark_swept(job: Job, version: int, again: float | None) -> Job:
    """Mark the job as swept, unless its record changed meanwhile."""
    return replace(job, tidy_at=again) if job.version == version else job


FETCH_ASKED = "fetch_asked"
"""Name of the fact that holds when workers were last asked to fetch their engines."""

INTERVAL_SECONDS = 2.0
_REPORT_SECONDS = 15.0  # several intervals, as one report may fail or be late


class WorkerRegistration:
    """Reports a worker's state to the store; safe for several threads."""

    def __init__(self, jobs: JobStore, clock: Clock, info: WorkerInfo) -> None:
        self._jobs = jobs
        self._clock = clock
        self._lock = threading.Lock()
        self.info = info

    def update(self, **changes: object) -> None:
        """Report, with these fields of WorkerInfo changed."""
        with self._lock:  # else the timer could report an old state
            now, old = self._clock(), self.info
            info = replace(old, seen_at=now, **changes)  # type: ignore[arg-type]
            as_before = old.since and (info.state, info.detail) == (old.state, old.detail)
            self.info = info if as_before else replace(info, since=now)
            self._jobs.put_worker(self.info, _REPORT_SECONDS)

    def remove(self) -> None:
        """Remove the report, because the worker stops."""
        self._jobs.remove_worker(self.info.id)


class MaintenanceThread:
    """Runs maintenance on a timer; an unavailable store is retried at the next interval."""

    def __init__(
        self,
        maintenance: Maintenance,
        registration: WorkerRegistration | None = None,
        seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._maintenance = maintenance
        self._registration = registration
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self) -> None:
        """Start; at most once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the current run."""
        self._stopping.set()
        self._thread.join()
        self._maintenance.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                if self._registration is not None:
                    self._registration.update()
                self._maintenance.run_once()
            except TranscriptionError as error:
                log.warning("maintenance_delayed", error=str(error))
            except Exception:  # noqa: BLE001 - the outermost frame of this thread, which goes on
                self._maintenance.crashed()
