"""
Limits of a tenant and of the server, checked against the records.

A lock is held between the check and the addition of a job, so that two concurrent requests cannot
both take the last place. The lock of a process that died expires.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from meet_transcriber.core.errors import QueueFull, QuotaExceeded
from meet_transcriber.core.jobs import Backlog, Usage
from meet_transcriber.service.context import ServiceContext

DAY_SECONDS = 24 * 3600.0

_LOCK_SECONDS = 10.0
_MARGIN_JOBS = 128
"""Fewer jobs than this arrive at once; further below the limit no lock is needed."""

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
        self, *, place: bool = False, size_bytes: int = 0, seconds: float | None = None
    ) -> Iterator[None]:
        """
        Check the limits; within the context the record that uses them up is written.

        Args:
            place: whether one more job begins.
            size_bytes: that are stored besides those in the records.
            seconds: of audio that is submitted; None where none is.

        Raises:
            QueueFull, QuotaExceeded: a limit is reached.
            StorageUnavailable: too many requests compete for the lock.
        """
        policy = self._policy
        contended = (
            (place and (policy.max_jobs_in_flight is not None or self._queue_may_fill()))
            or (size_bytes > 0 and policy.max_stored_bytes is not None)
            or (seconds is not None and policy.max_audio_seconds is not None)
        )
        busy = "Too many recordings arrive at once; send it again."
        lock = self._context.locked("admission", busy, _LOCK_SECONDS)
        with lock if contended else nullcontext():
            if contended and place:
                self._check_queue()
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
        if limits == (None, None, None):
            return Usage()
        return self._context.jobs.usage(self._tenant, self._context.clock() - DAY_SECONDS)

    def _queue_may_fill(self) -> bool:
        most = self._policy.max_queued_jobs
        return most is not None and self._context.jobs.backlog().active + _MARGIN_JOBS > most

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
