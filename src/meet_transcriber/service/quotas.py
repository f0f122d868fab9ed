"""
Limits of a tenant and of the server, checked against the records.

A lock is held between the check and the addition of a job, so that two concurrent requests cannot
both take the last place. The lock of a process that died expires.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from meet_transcriber.core.errors import QueueFull, QuotaExceeded
from meet_transcriber.core.jobs import Backlog, Job, Usage
from meet_transcriber.service.context import ServiceContext

DAY_SECONDS = 24 * 3600.0

MOST_UPLOADS = 1000
"""Resumable uploads that a tenant may have open."""

_LOCK_SECONDS = 10.0
_MARGIN_JOBS = 128
"""Fewer jobs than this arrive at once; further below the limit no lock is needed."""

_RESERVED_BYTES = 8 << 20
"""What uploads count ahead, so that they are not counted anew with every few bytes."""
_PLENTY = 16
"""Nothing is counted ahead unless so many times that is free, so that no upload lacks it."""

_KEPT_SHARE = 10
"""Of the queue, a tenth is kept for tenants that have fewer jobs than that."""

_NO_WORKER_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 3600.0
_MEBIBYTE = 1 << 20


class Quotas:
    """The limits of one tenant, by the policy of a context."""

    def __init__(self, context: ServiceContext, tenant: str) -> None:
        self._context = context
        self._policy = context.policy
        self._tenant = tenant

    @contextmanager
    def admit(
        self,
        *,
        place: bool = False,
        begins: bool = False,
        size_bytes: int = 0,
        seconds: float | None = None,
    ) -> Iterator[None]:
        """
        Check the limits; within the context the record that uses them up is written.

        Args:
            place: whether there is one more record among the tenant's unfinished jobs.
            begins: whether one more job begins, and takes a place in the queue.
            size_bytes: that are stored besides those in the records.
            seconds: of audio that is submitted; None where none is.

        Raises:
            QueueFull, QuotaExceeded: a limit is reached.
            StorageUnavailable: too many requests compete for the lock.
        """
        policy = self._policy
        # Far from each limit, requests at the same time cannot exceed it and need not wait for the
        # lock.
        contended = (
            (place and policy.max_jobs_in_flight is not None)
            or (begins and self._queue_may_fill())
            or (size_bytes > 0 and policy.max_stored_bytes is not None)
            or (seconds is not None and policy.max_audio_seconds is not None)
        )
        busy = "Too many recordings arrive at once; send it again."
        lock = self._context.locked("admission", busy, _LOCK_SECONDS)
        with lock if contended else nullcontext():
            if contended and begins:
                self._check_queue()
            if contended and place:
                self._check_in_flight()
            self.check(size_bytes, seconds)
            yield

    def check(self, size_bytes: int = 0, seconds: float | None = None) -> None:
        """Raise QuotaExceeded if a recording does not fit."""
        most_bytes, most_seconds = self._policy.max_stored_bytes, self._policy.max_audio_seconds
        usage = self._usage()
        if most_bytes is not None and size_bytes and usage.stored_bytes + size_bytes > most_bytes:
            raise self.storage_exceeded(usage)
        if most_seconds is not None and seconds is not None:
            used = usage.audio_seconds
            if used >= most_seconds or used + seconds > most_seconds:
                raise self._audio_exceeded(usage, seconds)

    def reserve(self, job_id: str, reserved: int, needed: int) -> int | None:
        """
        Count the bytes of an upload before they are stored, some ahead; returns how many.

        Args:
            reserved: bytes that its record counts already.

        Returns:
            None where stored bytes are not limited.

        Raises:
            QuotaExceeded: the tenant may not store so many.
        """
        if self._policy.max_stored_bytes is None:
            return None
        with self.admit(size_bytes=needed - reserved):
            # Some ahead, as each count is a write of the record.
            left = (self.free_bytes() or 0) - (needed - reserved)
            ahead = _RESERVED_BYTES if left > _PLENTY * _RESERVED_BYTES else 0
            granted = needed + ahead
            self._context.jobs.update(job_id, partial(_reserving, size_bytes=granted))
        return granted

    def check_length(self, claimed: float | None, seconds: float) -> None:
        """Raise QuotaExceeded if a recording is too long by what exceeds its claimed duration."""
        if (more := seconds - (claimed or 0.0)) > 0:
            self.check(seconds=more)

    def free_bytes(self) -> int | None:
        """Bytes that the tenant may still store; None without a limit."""
        most = self._policy.max_stored_bytes
        return None if most is None else max(0, most - self._usage().stored_bytes)

    def _usage(self) -> Usage:
        policy = self._policy
        limits = policy.max_stored_bytes, policy.max_audio_seconds, policy.max_jobs_in_flight
        # Without limits nothing need be counted, which is a read of the store.
        if limits == (None, None, None):
            return Usage()
        return self._context.jobs.usage(self._tenant, self._context.clock() - DAY_SECONDS)

    def _queue_may_fill(self) -> bool:
        most = self._policy.max_queued_jobs
        if most is None:
            return False
        margin = max(_MARGIN_JOBS, most // _KEPT_SHARE)
        return self._context.jobs.backlog().active + margin > most

    def check_uploads(self) -> None:
        """Raise QuotaExceeded if no more resumable uploads may be open."""
        now = self._context.clock()
        if self._context.jobs.usage(self._tenant, now).uploads >= MOST_UPLOADS:
            raise QuotaExceeded(
                f"You have {MOST_UPLOADS} open uploads, the most that are kept; submit or delete "
                "some of them."
            )

    def check_queue(self) -> None:
        """Raise QueueFull before a recording is received that would find no place."""
        if self._queue_may_fill():
            self._check_queue()

    def _check_queue(self) -> None:
        most = self._policy.max_queued_jobs
        if most is None:
            return
        backlog = self._context.jobs.backlog()
        if backlog.active >= most:
            raise QueueFull(
                f"{backlog.active} jobs are waiting or running, and MAX_QUEUED_JOBS allows "
                "no more; send it again later.",
                self._seconds_a_job(backlog),
            )
        kept = most // _KEPT_SHARE if self._tenant else 0  # often there is no other tenant
        if kept and backlog.active >= most - kept and (jobs := self._jobs()) > kept:
            raise QueueFull(
                f"You have {jobs} unfinished jobs, and the last {kept} of the {most} places that "
                "MAX_QUEUED_JOBS allows are for others; send it again later.",
                self._seconds_a_job(backlog),
            )

    def _jobs(self) -> int:
        """Unfinished jobs of the tenant."""
        return self._context.jobs.usage(self._tenant, self._context.clock()).jobs

    def _check_in_flight(self) -> None:
        most, jobs = self._policy.max_jobs_in_flight, self._usage().jobs
        if most is not None and jobs >= most:
            raise QuotaExceeded(
                f"You have {jobs} unfinished jobs, and MAX_JOBS_IN_FLIGHT allows {most}; wait for "
                "one to end, or cancel one.",
                self._seconds_a_job(self._context.jobs.backlog()),
            )

    def storage_exceeded(self, usage: Usage | None = None) -> QuotaExceeded:
        """The error for a tenant whose recordings have too many bytes."""
        usage, most = usage or self._usage(), self._policy.max_stored_bytes or 0
        return QuotaExceeded(
            f"Your recordings have {usage.stored_bytes / _MEBIBYTE:.1f} MiB, and MAX_STORED_MB "
            f"allows {most / _MEBIBYTE:.4g} MiB: this one does not fit. Delete meetings that are "
            "no longer needed."
        )

    def _audio_exceeded(self, usage: Usage, seconds: float) -> QuotaExceeded:
        most = self._policy.max_audio_seconds or 0.0
        wait = None
        if usage.oldest_at is not None and seconds <= most:
            wait = max(1.0, usage.oldest_at + DAY_SECONDS - self._context.clock())
        return QuotaExceeded(
            f"You have submitted {usage.audio_seconds / 3600:.2f} hours of audio within a day, and "
            f"MAX_AUDIO_HOURS_PER_DAY allows {most / 3600:.4g}: this recording exceeds it.",
            wait,
        )

    def _seconds_a_job(self, backlog: Backlog) -> float:
        """Estimated seconds until the next job ends."""
        left = self._context.seconds_left(backlog.seconds_left)
        if left is None or not backlog.active:
            return _NO_WORKER_SECONDS
        return min(max(left / backlog.active, 1.0), _LONGEST_WAIT_SECONDS)


def _reserving(job: Job, size_bytes: int) -> Job:
    return replace(job, size_bytes=size_bytes) if job.state == "uploading" else job
