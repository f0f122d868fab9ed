"""
What one tenant, and everybody together, may have here; read from the records, never counted apart.

Whoever makes a job holds a turn between looking and making, so that two who come at once do not
both get the last place. A turn of somebody who died ends by itself.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from meet_transcriber.core.errors import QueueFull, QuotaExceeded, StorageUnavailable
from meet_transcriber.core.jobs import Backlog, Usage
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.queries import FIRST_GUESS_RTF, RTF

DAY_SECONDS = 24 * 3600.0

_TURN_SECONDS = 10.0
_PATIENCE_SECONDS = 15.0
_PAUSE_SECONDS = 0.005
_CROWD = 128
"""So far from the limit nobody need wait for a turn: fewer than that come at once."""

_NOBODY_WORKS_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 3600.0
_MEBIBYTE = 1 << 20


class Quotas:
    """One tenant's share, by the rules of a context."""

    def __init__(self, context: ServiceContext, tenant: str) -> None:
        self._context = context
        self._rules = context.rules
        self._tenant = tenant

    # -- places ----------------------------------------------------------------------------

    @contextmanager
    def place(self, brings_audio: bool = True) -> Iterator[None]:
        """
        Make one more job, if there may be one more: within the context it is made.

        Args:
            brings_audio: whether there is a new recording, for which there should be room.

        Raises:
            QueueFull, QuotaExceeded: there may not.
            StorageUnavailable: so many come at once that no turn was to be had.
        """
        if self._rules.max_jobs_in_flight is None and not self._queue_may_fill():
            if brings_audio:
                self._check_used(self._usage())
            yield
            return
        with self._turn():
            self._check_queue()
            usage = self._usage()
            self._check_flight(usage)
            if brings_audio:
                self._check_used(usage)
            yield

    @contextmanager
    def room(self, size_bytes: int, seconds: float) -> Iterator[None]:
        """
        Keep a recording, if its tenant may have it: within the context its record says so.

        Raises:
            QuotaExceeded: it does not fit.
            StorageUnavailable: as `place` does.
        """
        if not self._measured:
            yield
            return
        with self._turn():
            self.check(size_bytes, seconds)
            yield

    @contextmanager
    def beginning(self, seconds: float, extra_bytes: int = 0) -> Iterator[None]:
        """
        Begin a job on a recording whose bytes are here and counted: within the context it is begun.

        Args:
            extra_bytes: that come along and are not counted yet.

        Raises:
            QueueFull, QuotaExceeded, StorageUnavailable: as `place` and `room` do.
        """
        limited = (self._rules.max_jobs_in_flight, self._rules.max_audio_seconds) != (None, None)
        limited = limited or (extra_bytes > 0 and self._rules.max_stored_bytes is not None)
        if not limited and not self._queue_may_fill():
            yield
            return
        with self._turn():
            self._check_queue()
            usage = self._usage()
            self._check_flight(usage)
            if extra_bytes:
                self._check_room(usage, extra_bytes)
            self._check_hours(usage, seconds)
            yield

    def check_length(self, claimed: float | None, seconds: float) -> None:
        """Raise QuotaExceeded where a recording is too much by what it has beyond its claim."""
        if self._rules.max_audio_seconds is not None and seconds > (claimed or 0.0):
            self._check_hours(self._usage(), seconds - (claimed or 0.0))

    def check(self, size_bytes: int, seconds: float) -> None:
        """Raise QuotaExceeded where a recording does not fit into what its tenant may have."""
        usage = self._usage()
        self._check_used(usage)
        self._check_room(usage, size_bytes)
        self._check_hours(usage, seconds)

    def _check_room(self, usage: Usage, size_bytes: int) -> None:
        most = self._rules.max_stored_bytes
        if most is not None and usage.stored_bytes + size_bytes > most:
            raise self.no_room(usage)

    def free_bytes(self) -> int | None:
        """Bytes that the tenant may still store; None without a limit."""
        most = self._rules.max_stored_bytes
        return None if most is None else max(0, most - self._usage().stored_bytes)

    @property
    def _measured(self) -> bool:
        return self._rules.max_stored_bytes is not None or self._rules.max_audio_seconds is not None

    def _usage(self) -> Usage:
        if not self._measured and self._rules.max_jobs_in_flight is None:
            return Usage()
        since = self._context.clock() - DAY_SECONDS
        return self._context.jobs.usage(self._tenant, since)

    # -- checks ----------------------------------------------------------------------------

    def _queue_may_fill(self) -> bool:
        most = self._rules.max_queued_jobs
        return most is not None and self._context.jobs.backlog().active + _CROWD > most

    def _check_queue(self) -> None:
        most = self._rules.max_queued_jobs
        if most is None:
            return
        backlog = self._context.jobs.backlog()
        if backlog.active >= most:
            raise QueueFull(
                f"{backlog.active} jobs wait or are being worked on, and MAX_QUEUED_JOBS lets no "
                "more in at the moment; send it again later.",
                self._seconds_a_job(backlog),
            )

    def _check_flight(self, usage: Usage) -> None:
        most = self._rules.max_jobs_in_flight
        if most is not None and usage.jobs >= most:
            raise QuotaExceeded(
                f"You have {usage.jobs} jobs that have not ended, and MAX_JOBS_IN_FLIGHT lets you "
                f"have {most}; wait for one to end, or cancel one.",
                self._seconds_a_job(self._context.jobs.backlog()),
            )

    def _check_used(self, usage: Usage) -> None:
        most_bytes, most_seconds = self._rules.max_stored_bytes, self._rules.max_audio_seconds
        if most_bytes is not None and usage.stored_bytes >= most_bytes:
            raise self.no_room(usage)
        if most_seconds is not None and usage.audio_seconds >= most_seconds:
            raise self._no_hours(usage, 0.0)

    def _check_hours(self, usage: Usage, seconds: float) -> None:
        most = self._rules.max_audio_seconds
        if most is not None and usage.audio_seconds + seconds > most:
            raise self._no_hours(usage, seconds)

    def no_room(self, usage: Usage | None = None) -> QuotaExceeded:
        """What is said to a tenant who has too many bytes here."""
        usage, most = usage or self._usage(), self._rules.max_stored_bytes or 0
        return QuotaExceeded(
            f"Your recordings here have {usage.stored_bytes / _MEBIBYTE:.1f} MiB, and "
            f"MAX_STORED_MB lets you keep {most / _MEBIBYTE:.4g} MiB: this one does not fit. "
            "Delete meetings that are not needed any more."
        )

    def _no_hours(self, usage: Usage, seconds: float) -> QuotaExceeded:
        most = self._rules.max_audio_seconds or 0.0
        wait = None
        if usage.oldest_at is not None and seconds <= most:
            wait = max(1.0, usage.oldest_at + DAY_SECONDS - self._context.clock())
        return QuotaExceeded(
            f"You have submitted {usage.audio_seconds / 3600:.2f} hours of audio within a day, and "
            f"MAX_AUDIO_HOURS_PER_DAY lets you submit {most / 3600:.4g}: this recording is too "
            "much.",
            wait,
        )

    def _seconds_a_job(self, backlog: Backlog) -> float:
        """How long until the next job may have ended, from measured speed."""
        workers = len(self._context.jobs.workers(self._context.clock()))
        if not workers or not backlog.active:
            return _NOBODY_WORKS_SECONDS
        speed = float(self._context.jobs.recall(RTF) or FIRST_GUESS_RTF)
        seconds = backlog.seconds_left * speed / workers / backlog.active
        return min(max(seconds, 1.0), _LONGEST_WAIT_SECONDS)

    # -- turns -----------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[None]:
        jobs, clock = self._context.jobs, self._context.clock
        holder, give_up_at = uuid.uuid4().hex, time.monotonic() + _PATIENCE_SECONDS
        while not jobs.lock("admission", holder, _TURN_SECONDS, clock()):
            if time.monotonic() > give_up_at:
                raise StorageUnavailable("Too many recordings come at once; send it again.")
            time.sleep(_PAUSE_SECONDS)
        try:
            yield
        finally:
            jobs.unlock("admission", holder)
