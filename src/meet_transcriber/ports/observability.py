"""Ports for metrics and traces, and metrics that are not recorded."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from meet_transcriber.core.jobs import Job


class Meters(Protocol):
    """Records events as metrics. Calls are fast and never raise."""

    def submission(self, source: str, outcome: str) -> None:
        """An `upload` or a `url` was submitted: `accepted`, or the error code of the refusal."""
        ...

    def upload(self, size_bytes: int) -> None:
        """A recording was received completely."""
        ...

    def task(self, kind: str, outcome: str, seconds: float) -> None:
        """A worker let go of a task that it had claimed: `done`, `released`, `failed` or why."""
        ...

    def recognition(self, engine: str, audio_seconds: float, seconds: float) -> None:
        """Audio was recognized in `seconds`."""
        ...

    def waited(self, queue: str, seconds: float) -> None:
        """The first task of a job was claimed `seconds` after submission."""
        ...

    def lease_expired(self, kind: str) -> None:
        """The lease of a worker expired and its task was released."""
        ...

    def job_ended(self, job: Job) -> None:
        """A job ended, in any final state."""
        ...

    def webhook(self, outcome: str) -> None:
        """A webhook was attempted: `delivered`, `retry` or the reason of the final failure."""
        ...

    def maintenance_failed(self) -> None:
        """Maintenance of a job failed, or a run of it."""
        ...

    def engine(self, part: str, fetch_seconds: float, load_seconds: float) -> None:
        """An engine is ready, after fetching its weights and loading it."""
        ...

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was completed; `route` is a template, or `unknown`."""
        ...


class Unmetered:
    """Meters that record nothing."""

    def submission(self, source: str, outcome: str) -> None:
        """Records nothing, like the methods below."""

    def upload(self, size_bytes: int) -> None: ...

    def task(self, kind: str, outcome: str, seconds: float) -> None: ...

    def recognition(self, engine: str, audio_seconds: float, seconds: float) -> None: ...

    def waited(self, queue: str, seconds: float) -> None: ...

    def lease_expired(self, kind: str) -> None: ...

    def job_ended(self, job: Job) -> None: ...

    def webhook(self, outcome: str) -> None: ...

    def maintenance_failed(self) -> None: ...

    def engine(self, part: str, fetch_seconds: float, load_seconds: float) -> None: ...

    def request(self, method: str, route: str, status: int, seconds: float) -> None: ...


UNMETERED: Meters = Unmetered()


class Tracer(Protocol):
    """Creates spans; traces continue across processes."""

    def current(self) -> str:
        """Return the `traceparent` (W3C) of the current span of this thread; empty without one."""
        ...

    def span(
        self, name: str, parent: str, pairs: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        """Return a context manager of a child span of `parent`, with attributes."""
        ...

    def close(self) -> None:
        """Export pending spans."""
        ...
