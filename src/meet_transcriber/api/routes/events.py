"""Changes of jobs as server-sent events."""

import asyncio
import hashlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, TypeVar

import anyio
from fastapi import Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.requests import Request
from starlette.responses import Response

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
from meet_transcriber.core.executors import FairExecutor
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import Segment
from meet_transcriber.service import Service
from meet_transcriber.service.change_feed import JobUpdate, Updates

T = TypeVar("T")

MOST_STREAMS = 300
_RETRY_AFTER_SECONDS = 30.0

router = tagged_router("transcriptions")

_FIELDS = {
    "data": {"type": "string"},
    "event": {"type": "string"},
    "id": {"type": "string"},
    "retry": {"type": "integer", "minimum": 0},
}
_CONTENT = {"text/event-stream": {"itemSchema": {"type": "object", "properties": _FIELDS}}}
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # else nginx buffers events
RETRY_MS = 2000  # browsers wait 3 to 5 s by themselves
CHECK_SECONDS = 0.5
"""How often the keys of open streams are checked again."""
_MOST_KEYS = 1000
_STOP_SECONDS = 0.3
"""How often a stream checks whether the server stops."""
_KEEPALIVE_SECONDS = 15.0
"""After so long without an event a comment is sent, as proxies close idle connections."""
_JOB_PAUSE_SECONDS, _ALL_JOBS_PAUSE_SECONDS = 0.3, 0.5
"""Shortest time between two events about one job; more changes become one event."""
_PIECE_BYTES = 64 << 10
_STREAM_SECONDS = 0.01
"""Its share of each open stream of the tenant, so that many do not occupy the event loop."""


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

    def pause(self, tenant: str, least_seconds: float) -> float:
        """The time between two events of each stream of a tenant."""
        return max(least_seconds, _STREAM_SECONDS * self._open[tenant])


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


def _pause(request: Request, least_seconds: float) -> float:
    streams: StreamLimiter = request.app.state.streams
    return streams.pause(request.state.caller.tenant, least_seconds)


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
    known = cursor.parts & job.objects.keys()  # else a forged id would make each event slow
    return replace(cursor, ended=False, parts=known)


@router.get(
    "/transcribe/{job_id}/events",
    summary="Follow a job",
    dependencies=[Depends(acquire_stream)],
    responses={
        200: {
            "description": "Events until the job's end: progress, segment, warning, done, error.",
            "content": _CONTENT,
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
) -> Response:
    """
    Events: `progress` (the job's status), `segment` (words of a finished part, speakers not
    known yet), `warning`, and at the end `done` or `error`. The stream ends there.

    An event's id begins with the record's version; `Last-Event-ID` continues after it.
    """
    return _response(_follow(request, service, job_id, cursor))


def _response(events: AsyncIterator[bytes]) -> Response:
    """
    A stream of events that are sent as they are.

    FastAPI would encode each event for each stream and pass it through two tasks, so that a few
    hundred streams about a few hundred jobs would occupy the event loop.
    """
    return EventSourceResponse(_with_keepalive(events), headers=_HEADERS)


async def _with_keepalive(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Send what is not empty, and a comment after some time without it."""
    sent = time.monotonic()
    yield format_sse_event(retry=RETRY_MS, comment="hello")
    async for data in events:
        if data or time.monotonic() - sent > _KEEPALIVE_SECONDS:
            sent = time.monotonic()
            yield data or KEEPALIVE_COMMENT


async def _follow(
    request: Request, service: Service, job_id: str, cursor: SseCursor
) -> AsyncIterator[bytes]:
    latest = None
    with service.changes.subscribe(service.queries.tenant or "", job_id) as subscription:
        while not cursor.ended and await _may_continue(request):
            changed = (await subscription.next(_STOP_SECONDS)).changed
            latest = changed.get(job_id, latest)
            if latest is None:
                yield b""
                continue
            # The same update is tried again after the pause.
            with suppress(StorageUnavailable, RateLimited):
                data, cursor = await _events_after(request, service, latest, cursor)
                latest = None
                yield data
            await anyio.sleep(0 if cursor.ended else _pause(request, _JOB_PAUSE_SECONDS))


async def _events_after(
    request: Request, service: Service, update: JobUpdate, cursor: SseCursor
) -> tuple[bytes, SseCursor]:
    """The events that a client at this cursor lacks, and the cursor after them."""
    cursor = replace(cursor, parts=set(cursor.parts))  # unchanged for the caller if this raises
    try:
        job = update.shown()
    except JobNotFound as error:
        return _error(cursor, error.code, str(error), "deleted"), cursor
    if job.version == cursor.version:
        return b"", cursor
    if cursor.run != job.run:
        cursor.run, cursor.parts, cursor.warnings = job.run, set(), 0
    segments = b""
    unsent = job.objects.keys() - cursor.parts
    if not job.ended and any(name.startswith("parts/") for name in unsent):
        segments = await _in_compute_thread(request, partial(_segments, service, job, cursor.parts))
    return segments + b"".join(_events(update, job, cursor)), cursor


async def _in_compute_thread(request: Request, call: Callable[[], T]) -> T:
    """A client that begins late gets all parts of a long recording."""
    executor: FairExecutor = request.app.state.compute
    return await asyncio.wrap_future(executor.submit(request.state.caller.tenant, call))


def _segments(service: Service, job: Job, known: set[str]) -> bytes:
    return b"".join(_segment(*each) for each in service.queries.parts(job, known))


def _segment(name: str, segment: Segment) -> bytes:
    times = {"start": segment.start, "end": segment.end}
    said = {"text": segment.text, "language": segment.language}
    return _event("segment", {"part": int(name[6:10]), **times, **said})


def _events(update: JobUpdate, job: Job, cursor: SseCursor) -> Iterator[bytes]:
    for warning in job.warnings[cursor.warnings :]:
        yield _event("warning", to_plain(warning))
    cursor.warnings, cursor.version = len(job.warnings), job.version
    if job.ended:
        yield _end(job, cursor)
    else:
        yield format_sse_event(event="progress", data_str=status_json(update), id=cursor.id)


def _event(kind: str, data: object, id_: str | None = None) -> bytes:
    return format_sse_event(event=kind, data_str=serializers.dumped(data).decode(), id=id_)


def status_json(update: JobUpdate) -> str:
    """A job's status as JSON, rendered once for all streams."""
    if "status" not in update.rendered:
        body = serializers.status(update.shown(), update.wait)
        update.rendered["status"] = serializers.dumped(body)
    return update.rendered["status"].decode()


def _end(job: Job, cursor: SseCursor) -> bytes:
    if job.state == "completed":
        cursor.ended = True
        return _event("done", serializers.entry(job), cursor.id)
    code, message = "job_cancelled", "The job was cancelled."
    if job.error is not None and job.state == "failed":
        code, message = job.error.code, job.error.message
    return _error(cursor, code, message, job.state)


def _error(cursor: SseCursor, code: str, message: str, status: str) -> bytes:
    cursor.ended = True
    return _event("error", {"code": code, "message": message, "status": status}, cursor.id)


@router.get(
    "/events",
    summary="Follow all jobs",
    dependencies=[Depends(acquire_stream)],
    responses={
        200: {"description": "Events: job, snapshot, deleted.", "content": _CONTENT},
        **problems(),
    },
)
async def watch_transcriptions(request: Request, service: ReaderService) -> Response:
    """
    First an event `job` for each of the newest 50 jobs, newest first, and `snapshot`; then a
    `job` whenever one changes, its place in the queue included, and `deleted`.

    A `job` is a JobEntry with `queue_position` and `eta_seconds`. A client that reconnects or
    reads too slowly gets a snapshot again.
    """
    return _response(_watch(request, service))


async def _watch(request: Request, service: Service) -> AsyncIterator[bytes]:
    with service.changes.subscribe(service.queries.tenant or "") as subscription:
        while await _may_continue(request):
            updates = await subscription.next(_STOP_SECONDS)
            for data in in_pieces(_list_events(updates)):
                yield data
            if updates:
                await anyio.sleep(_pause(request, _ALL_JOBS_PAUSE_SECONDS))


def in_pieces(events: Iterable[bytes]) -> Iterator[bytes]:
    """
    Join events to pieces of about `_PIECE_BYTES`, at least one.

    A stream that its client does not read holds one piece, and what is rendered for all streams.
    """
    piece, size = list[bytes](), 0
    for event in events:
        piece.append(event)
        size += len(event)
        if size >= _PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join(piece)


def _list_events(updates: Updates) -> Iterator[bytes]:
    """The events of the list of all jobs."""
    if updates.snapshot is not None:
        yield from map(_list_event, updates.snapshot)
        yield _event("snapshot", {})
    yield from map(_list_event, updates.changed.values())


def _list_event(update: JobUpdate) -> bytes:
    """Rendered once for all streams."""
    if "event" not in update.rendered:
        try:
            event = format_sse_event(event="job", data_str=status_json(update))
        except JobNotFound:
            event = _event("deleted", {"job_id": update.job_id})
        update.rendered["event"] = event
    return update.rendered["event"]
