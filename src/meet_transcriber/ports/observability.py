"""Who watches the service: figures for metrics, spans for traces; nobody by default."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from meet_transcriber.core.jobs import Job


class Meters(Protocol):
    """Hears what happened, so that it can be counted. Calls are quick and never raise."""

    def submission(self, source: str, outcome: str) -> None:
        """Somebody sent an `upload` or a `url`: `accepted`, or the code of the refusal."""
        ...

    def upload(self, size_bytes: int) -> None:
        """A recording came in whole."""
        ...

    def task(self, kind: str, outcome: str, seconds: float) -> None:
        """A worker let go of a task that it had claimed: `done`, `released`, `failed` or why."""
        ...

    def recognition(self, engine: str, audio_seconds: float, seconds: float) -> None:
        """Some audio was turned into words in so much time."""
        ...

    def waited(self, queue: str, seconds: float) -> None:
        """The first task of a job was claimed so long after the job was sent."""
        ...

    def lease_expired(self, kind: str) -> None:
        """A worker was silent for too long, and its task was given to others."""
        ...

    def job_ended(self, job: Job) -> None:
        """A job came to an end, whichever."""
        ...

    def webhook(self, outcome: str) -> None:
        """An attempt to deliver a webhook: `delivered`, `retry` or why it was given up."""
        ...

    def engine(self, part: str, fetch_seconds: float, load_seconds: float) -> None:
        """An engine is ready: fetching its weights, and loading and trying it, took so long."""
        ...

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is a template, or `unknown`."""
        ...


class Unmetered:
    """Meters that nobody reads."""

    def submission(self, source: str, outcome: str) -> None:
        """Not counted, as all of these."""

    def upload(self, size_bytes: int) -> None: ...

    def task(self, kind: str, outcome: str, seconds: float) -> None: ...

    def recognition(self, engine: str, audio_seconds: float, seconds: float) -> None: ...

    def waited(self, queue: str, seconds: float) -> None: ...

    def lease_expired(self, kind: str) -> None: ...

    def job_ended(self, job: Job) -> None: ...

    def webhook(self, outcome: str) -> None: ...

    def engine(self, part: str, fetch_seconds: float, load_seconds: float) -> None: ...

    def request(self, method: str, route: str, status: int, seconds: float) -> None: ...


class Tracer(Protocol):
    """Keeps the spans of one trace together over processes."""

    def current(self) -> str:
        """The `traceparent` (W3C) of what is going on in this thread; empty without a trace."""
        ...

    def span(
        self, name: str, parent: str, pairs: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        """A span below a `traceparent`, with these attributes, as long as the context lasts."""
        ...

    def close(self) -> None:
        """Send what was not sent yet."""
        ...


class Untraced:
    """A Tracer that traces nothing."""

    def current(self) -> str:
        return ""

    def span(
        self,
        name: str,  # noqa: ARG002 - as the Protocol has it, and below
        parent: str,  # noqa: ARG002
        pairs: Mapping[str, str],  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        return nullcontext()

    def close(self) -> None:
        """There is nothing to send."""


UNMETERED: Meters = Unmetered()
UNTRACED: Tracer = Untraced()
