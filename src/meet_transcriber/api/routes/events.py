"""Changes of jobs as server-sent events."""

import hashlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Annotated

import anyio
from fastapi import Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import ReaderService, authenticate, read_session_token, read_token
from meet_transcriber.api.http import JobId
from meet_transcriber.api.openapi import problems, response, tagged_router
from meet_transcriber.core.errors import (
    AccessError,
    JobNotFound,
    RateLimited,
    StorageError,
    StorageUnavailable,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.service import Service
from meet_transcriber.service.change_feed import JobUpdate, Updates
from meet_transcriber.service.queries import Wait

MOST_STREAMS = 300
_RETRY_AFTER_SECONDS = 30.0

router = tagged_router("transcriptions")

RETRY_MS = 2000  # browsers wait 3 to 5 s by themselves
CHECK_SECONDS = 0.5
"""How often the keys of open streams are checked again."""
_MOST_KEYS = 1000
_STOP_SECONDS = 0.3
"""How often a stream checks whether the server stops."""
_JOB_PAUSE_SECONDS, _ALL_JOBS_PAUSE_SECONDS = 0.3, 0.5
"""Shortest time between two events about one job; more changes become one event."""


class StreamLimiter:
    """Limits the event streams and waiting requests that each tenant has open in this process."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._open = Counter[str]()

    @contextmanager
    def acquire(self, tenant: str) -> Iterator[None]:
        """
        Hold one stream open within the context.

        Raises:
            RateLimited: the tenant has as many streams open as it may.
        """
        if self._open[tenant] >= self._most:
            raise RateLimited(
                f"You have {self._most} event streams or waiting requests open, the most that are "
                "served at a time; close some of them.",
                _RETRY_AFTER_SECONDS,
            )
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1


async def acquire_stream(request: Request, _service: ReaderService) -> AsyncIterator[None]:
    """Dependency of routes that wait for jobs; released when the response has ended."""
    limiter: StreamLimiter = request.app.state.streams
    with limiter.acquire(request.state.caller.tenant):
        yield


class KeyRechecks:
    """
    Checks the keys and sessions of open streams again, so that revocation ends them.

    Streams with the same key share a check, so the load does not depend on their number.
    """

    def __init__(self) -> None:
        self._checked: dict[bytes, tuple[float, bool]] = {}

    async def is_valid(self, request: Request) -> bool:
        """Whether the key of a request was valid at most `CHECK_SECONDS` ago."""
        shown = f"{read_token(request)} {read_session_token(request)}"
        name = hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest()
        now = time.monotonic()
        checked, holds = self._checked.get(name, (-math.inf, True))
        if now - checked > CHECK_SECONDS:
            self._checked[name] = now, holds  # other streams need not wait for this check
            try:
                await authenticate(request)
                holds = True
            except AccessError:
                holds = False
            except StorageError:
                pass  # unknown: the key was valid at the last check
            if len(self._checked) > _MOST_KEYS:
                self._checked.clear()  # bounds memory; each stream checks anew
            self._checked[name] = now, holds
        return holds


async def key_holds(request: Request) -> bool:
    """Whether the key of a request that is still being answered was not revoked."""
    rechecks: KeyRechecks = request.app.state.key_rechecks
    return await rechecks.is_valid(request)


async def _may_continue(request: Request) -> bool:
    """Whether a stream goes on: the server runs, and the caller's key still holds."""
    return not request.app.state.stopping.is_set() and await key_holds(request)


class StreamComplete(Exception):
    """The client has already received the last event of this job."""


@dataclass
class SseCursor:
    """
    What a client has received of a job, encoded in the id of every event.

    Attributes:
        version: of the record; -1 before the first event.
        run: the run that parts and warnings belong to.
        parts: names of the parts whose segments were sent.
        warnings: how many were sent.
        ended: whether the last event was sent.
    """

    version: int = -1
    run: int = 0
    parts: set[str] = field(default_factory=set)
    warnings: int = 0
    ended: bool = False

    @property
    def id(self) -> str:
        """Version, run, parts as a hexadecimal bit set, warnings; `.end` after the last event."""
        bits = sum(1 << int(name[6:10]) for name in self.parts)
        end = ".end" if self.ended else ""
        return f"{self.version}.{self.run}.{bits:x}.{self.warnings}{end}"

    @classmethod
    def from_id(cls, text: str | None) -> "SseCursor":
        """Decode an id; an unknown format gives an empty cursor."""
        try:
            version, run, bits, warnings, *end = (text or "").split(".")
            known = int(bits, 16) if len(bits) <= _BITS // 4 else 0
            parts = {f"parts/{at:04d}.json" for at in range(known.bit_length()) if known >> at & 1}
            return cls(int(version), int(run), parts, int(warnings), bool(end))
        except ValueError:
            return cls()


_BITS = 10_000
"""Most parts in an id, so that decoding a forged one stays cheap."""


async def _cursor(
    service: ReaderService,
    job_id: JobId,
    last_event_id: Annotated[
        str | None, Header(description="Where to go on; events before it are not repeated.")
    ] = None,
) -> SseCursor:
    """Check, before the stream begins, that the job exists and that events are left to send."""
    cursor = SseCursor.from_id(last_event_id)
    job = await run_in_threadpool(service.queries.job, job_id)
    if cursor.ended and job.ended and cursor.run == job.run:
        raise StreamComplete
    return replace(cursor, ended=False)


@router.get(
    "/transcribe/{job_id}/events",
    summary="Follow a job",
    response_class=EventSourceResponse,
    dependencies=[Depends(acquire_stream)],
    responses={
        200: {
            "description": "Events until the job's end: progress, segment, warning, done, error."
        },
        **response(204, "The client already has the last event."),
        **problems(404, 422),
    },
)
async def follow_transcription(
    request: Request,
    service: ReaderService,
    job_id: JobId,
    cursor: Annotated[SseCursor, Depends(_cursor)],
) -> AsyncIterator[ServerSentEvent]:
    """
    Events: `progress` (the job's status), `segment` (words of a finished part, speakers not
    known yet), `warning`, and at the end `done` or `error`. The stream ends there.

    An event's id begins with the record's version; `Last-Event-ID` continues after it.
    """
    yield ServerSentEvent(retry=RETRY_MS, comment="hello")
    latest = None
    with service.changes.subscribe(service.queries.tenant or "", job_id) as subscription:
        while not cursor.ended and await _may_continue(request):
            changed = (await subscription.next(_STOP_SECONDS)).changed
            latest = changed.get(job_id, latest)
            if latest is None:
                continue
            with suppress(StorageUnavailable):  # the same update is tried again after the pause
                events, cursor = await run_in_threadpool(_events_after, service, latest, cursor)
                latest = None
                for event in events:
                    yield event
            await anyio.sleep(0 if cursor.ended else _JOB_PAUSE_SECONDS)


def _events_after(
    service: Service, update: JobUpdate, cursor: SseCursor
) -> tuple[list[ServerSentEvent], SseCursor]:
    """The events that a client at this cursor lacks, and the cursor after them."""
    cursor = replace(cursor, parts=set(cursor.parts))  # unchanged for the caller if this raises
    try:
        job = update.shown()
    except JobNotFound as error:
        return [_error(cursor, error.code, str(error), "deleted")], cursor
    if job.version == cursor.version:
        return [], cursor
    return list(_events(service, job, update.wait, cursor)), cursor


def _events(service: Service, job: Job, wait: Wait, cursor: SseCursor) -> Iterator[ServerSentEvent]:
    if cursor.run != job.run:
        cursor.run, cursor.parts, cursor.warnings = job.run, set(), 0
    if not job.ended:
        for name, segment in service.queries.parts(job, cursor.parts):
            times = {"start": segment.start, "end": segment.end}
            said = {"text": segment.text, "language": segment.language}
            data = {"part": int(name[6:10]), **times, **said}
            yield ServerSentEvent(event="segment", data=data)
    for warning in job.warnings[cursor.warnings :]:
        yield ServerSentEvent(event="warning", data=to_plain(warning))
    cursor.warnings, cursor.version = len(job.warnings), job.version
    if job.ended:
        yield _end(job, cursor)
    else:
        body = serializers.status(job, wait)
        yield ServerSentEvent(event="progress", id=cursor.id, data=body)


def _end(job: Job, cursor: SseCursor) -> ServerSentEvent:
    if job.state == "completed":
        cursor.ended = True
        return ServerSentEvent(event="done", id=cursor.id, data=serializers.entry(job))
    code, message = "job_cancelled", "The job was cancelled."
    if job.error is not None and job.state == "failed":
        code, message = job.error.code, job.error.message
    return _error(cursor, code, message, job.state)


def _error(cursor: SseCursor, code: str, message: str, status: str) -> ServerSentEvent:
    cursor.ended = True
    data = {"code": code, "message": message, "status": status}
    return ServerSentEvent(event="error", id=cursor.id, data=data)


@router.get(
    "/events",
    summary="Follow all jobs",
    response_class=EventSourceResponse,
    dependencies=[Depends(acquire_stream)],
    responses={200: {"description": "Events: job, snapshot, deleted."}, **problems()},
)
async def watch_transcriptions(
    request: Request, service: ReaderService
) -> AsyncIterator[ServerSentEvent]:
    """
    First an event `job` for each of the newest 50 jobs, newest first, and `snapshot`; then a
    `job` whenever one changes, its place in the queue included, and `deleted`.

    A `job` is a JobEntry with `queue_position` and `eta_seconds`. A client that reconnects or
    reads too slowly gets a snapshot again.
    """
    yield ServerSentEvent(retry=RETRY_MS, comment="hello")
    with service.changes.subscribe(service.queries.tenant or "") as subscription:
        while await _may_continue(request):
            updates = await subscription.next(_STOP_SECONDS)
            for event in list_events(updates):
                yield event
            if updates:
                await anyio.sleep(_ALL_JOBS_PAUSE_SECONDS)


def list_events(updates: Updates) -> Iterator[ServerSentEvent]:
    """The events of the list of all jobs."""
    if updates.snapshot is not None:
        yield from map(_list_event, updates.snapshot)
        yield ServerSentEvent(event="snapshot", data={})
    yield from map(_list_event, updates.changed.values())


def _list_event(update: JobUpdate) -> ServerSentEvent:
    try:
        body = serializers.status(update.shown(), update.wait)
    except JobNotFound:
        return ServerSentEvent(event="deleted", data={"job_id": update.job_id})
    return ServerSentEvent(event="job", data=body)
