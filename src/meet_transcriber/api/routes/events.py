"""What happens to a job, as server-sent events."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import ReaderService, is_still_authorized
from meet_transcriber.api.http import JobId
from meet_transcriber.api.openapi import problems, response
from meet_transcriber.core.errors import JobNotFound, RateLimited, StorageUnavailable
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.service import Service

MOST = 300
_WAIT_SECONDS = 30.0


class StreamLimiter:
    """Who listens to this process."""

    def __init__(self, most: int = MOST) -> None:
        """
        Args:
            most: streams of one tenant at a time.
        """
        self._most = most
        self._open = Counter[str]()

    @contextmanager
    def one_more(self, tenant: str) -> Iterator[None]:
        """
        Listen within the context.

        Raises:
            RateLimited: the tenant has as many streams open as it may.
        """
        if self._open[tenant] >= self._most:
            raise RateLimited(
                f"You have {self._most} streams of events open, and more are not served at a time; "
                "close some of them.",
                _WAIT_SECONDS,
            )
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1


async def listens(request: Request, service: ReaderService) -> AsyncIterator[None]:
    """What a route of events depends on; ends with its stream."""
    listeners: StreamLimiter = request.app.state.listeners
    with listeners.one_more(service.queries.tenant or ""):
        yield


router = APIRouter(tags=["transcriptions"])

_LOOK_SECONDS = 0.3
RETRY_MS = 2000
CHECK_SECONDS = 1.0
"""How long a key that was revoked may go on listening."""


class StreamComplete(Exception):
    """The caller has heard the end of this job."""


@dataclass
class SseCursor:
    """What a listener knows, written into the id of every event.

    Attributes:
        version: of the record; -1 before anything was told.
        run: which run the parts and warnings belong to.
        parts: whose words were told.
        warnings: how many were told.
        ended: whether the end was.
    """

    version: int = -1
    run: int = 0
    parts: set[str] = field(default_factory=set)
    warnings: int = 0
    ended: bool = False

    @property
    def id(self) -> str:
        """The version, the run, the parts as a bit each, the warnings; `.end` at the end."""
        bits = sum(1 << int(name[6:10]) for name in self.parts)
        end = ".end" if self.ended else ""
        return f"{self.version}.{self.run}.{bits:x}.{self.warnings}{end}"

    @classmethod
    def from_id(cls, text: str | None) -> "SseCursor":
        """What an id says; what is no id of ours says nothing."""
        try:
            version, run, bits, warnings, *end = (text or "").split(".")
            known = int(bits, 16) if len(bits) <= _BITS // 4 else 0
            parts = {f"parts/{at:04d}.json" for at in range(known.bit_length()) if known >> at & 1}
            return cls(int(version), int(run), parts, int(warnings), bool(end))
        except ValueError:
            return cls()


_BITS = 10_000


async def _listener(
    service: ReaderService,
    job_id: JobId,
    last_event_id: Annotated[
        str | None, Header(description="Where to go on; events before it are not repeated.")
    ] = None,
) -> SseCursor:
    """Before anything is sent: the job is there, and there is something to tell."""
    told = SseCursor.from_id(last_event_id)
    job = await run_in_threadpool(service.queries.job, job_id)
    if told.ended and job.ended and told.run == job.run:
        raise StreamComplete
    return SseCursor(told.version, told.run, told.parts, told.warnings)


@router.get(
    "/transcribe/{job_id}/events",
    operation_id="followTranscription",
    summary="Follow a job",
    response_class=EventSourceResponse,
    dependencies=[Depends(listens)],
    responses={
        200: {
            "description": "Events until the job's end: progress, segment, warning, done, error."
        },
        **response(204, "The end was told already."),
        **problems(404, 422),
    },
)
async def follow(
    request: Request,
    service: ReaderService,
    job_id: JobId,
    told: Annotated[SseCursor, Depends(_listener)],
) -> AsyncIterator[ServerSentEvent]:
    """
    Events: `progress` (the job's status), `segment` (words of a part that is done, speakers not
    known yet), `warning`, and at the end `done` or `error`. The stream ends there.

    An event's id begins with the record's version; `Last-Event-ID` goes on behind it.
    """
    yield ServerSentEvent(retry=RETRY_MS, comment="hello")
    checked = time.monotonic()
    while not told.ended and not request.app.state.stopping.is_set():
        try:
            events, told = await run_in_threadpool(_news, service, job_id, told)
        except JobNotFound as error:
            yield _error(told, error.code, str(error), "deleted")
            return
        except StorageUnavailable:
            events = []  # it comes back, or the caller gives up
        for event in events:
            yield event
        if time.monotonic() - checked > CHECK_SECONDS:
            checked = time.monotonic()
            if not await is_still_authorized(request):
                return
        await anyio.sleep(0 if told.ended else _LOOK_SECONDS)


def _news(
    service: Service, job_id: str, told: SseCursor
) -> tuple[list[ServerSentEvent], SseCursor]:
    """What happened since, and what is told with it; cheap when nothing did."""
    if service.queries.version(job_id) == told.version:
        return [], told
    told = replace(told, parts=set(told.parts))  # nothing is told if this breaks off
    return list(_events(service, service.queries.job(job_id), told)), told


def _events(service: Service, job: Job, told: SseCursor) -> Iterator[ServerSentEvent]:
    if told.run != job.run:
        told.run, told.parts, told.warnings = job.run, set(), 0
    if not job.ended:
        for name, segment in service.queries.parts(job, told.parts):
            data = {"part": int(name[6:10]), **_words(segment)}
            yield ServerSentEvent(event="segment", data=data)
    for warning in job.warnings[told.warnings :]:
        yield ServerSentEvent(event="warning", data=to_plain(warning))
    told.warnings, told.version = len(job.warnings), job.version
    if not job.ended:
        body = serializers.status(job, service.queries.wait(job))
        yield ServerSentEvent(event="progress", id=told.id, data=body)
    else:
        yield _end(job, told)


def _words(segment: Any) -> dict[str, Any]:
    return {
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "language": segment.language,
    }


def _end(job: Job, told: SseCursor) -> ServerSentEvent:
    if job.state == "completed":
        told.ended = True
        return ServerSentEvent(event="done", id=told.id, data=serializers.entry(job))
    code, message = "job_cancelled", "The job was cancelled."
    if job.error is not None and job.state == "failed":
        code, message = job.error.code, job.error.message
    return _error(told, code, message, job.state)


def _error(told: SseCursor, code: str, message: str, status: str) -> ServerSentEvent:
    told.ended = True
    data = {"code": code, "message": message, "status": status}
    return ServerSentEvent(event="error", id=told.id, data=data)


LOOK_SECONDS = 0.5
"""A job is told of at most once in so long."""

SHOWN_JOBS = 50


class ChangeMarker:
    """The mark of the latest change: looked for once in a while, however many want to know."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._mark, self._until = -1, 0.0
        self._turn = anyio.Lock()

    async def latest(self) -> int:
        """The mark as it was at most LOOK_SECONDS / 2 ago; raises StorageUnavailable."""
        async with self._turn:
            if time.monotonic() >= self._until:
                self._mark = await run_in_threadpool(self._service.queries.mark)
                self._until = time.monotonic() + LOOK_SECONDS / 2
            return self._mark


class JobFeed:
    """What one listener was told; `news` is for one thread at a time."""

    def __init__(self, service: Service) -> None:
        self.mark: int | None = None
        self._reading = service.queries
        self._places: dict[str, int | None] = {}

    def news(self) -> Iterator[ServerSentEvent]:
        """What happened since, or everything the first time and after too much."""
        if self.mark is None:
            yield from self._snapshot()
            return
        changed = self._reading.changed(self.mark)
        if changed.missed:
            yield from self._snapshot()
            return
        for job_id, job in changed.jobs.items():
            yield self._gone(job_id) if job is None else self._told(job)
        yield from self._moved(set(changed.jobs))
        self.mark = changed.mark  # last: what breaks off is told again

    def _snapshot(self) -> Iterator[ServerSentEvent]:
        mark = self._reading.mark()  # first, so that nothing falls between
        self._places.clear()
        for job in self._reading.page(JobQuery(limit=SHOWN_JOBS)):
            yield self._told(job)
        yield ServerSentEvent(event="snapshot", data={})
        self.mark = mark

    def _moved(self, but: set[str]) -> Iterator[ServerSentEvent]:
        """Jobs whose place in the queue changed although their records did not."""
        for job_id in [each for each in self._places if each not in but]:
            job = self._reading.changed_place(job_id, self._places[job_id])
            if job is not None:
                yield self._told(job)

    def _told(self, job: Job) -> ServerSentEvent:
        wait = self._reading.wait(job)
        if job.state == "pending":
            self._places[job.id] = wait.position
        else:
            self._places.pop(job.id, None)
        return ServerSentEvent(event="job", data=serializers.status(job, wait))

    def _gone(self, job_id: str) -> ServerSentEvent:
        self._places.pop(job_id, None)
        return ServerSentEvent(event="deleted", data={"job_id": job_id})


async def _watch(service: ReaderService) -> JobFeed:
    """Refuse before the stream begins who may not listen."""
    return JobFeed(service)


@router.get(
    "/events",
    operation_id="watchTranscriptions",
    summary="Follow all jobs",
    response_class=EventSourceResponse,
    dependencies=[Depends(listens)],
    responses={200: {"description": "Events: job, snapshot, deleted."}, **problems()},
)
async def watch(
    request: Request, told: Annotated[JobFeed, Depends(_watch)]
) -> AsyncIterator[ServerSentEvent]:
    """
    First an event `job` for each of the newest 50 jobs, newest first, and `snapshot`; then a
    `job` whenever one changes, its place in the queue included, and `deleted`.

    A `job` is a JobEntry with `queue_position` and `eta_seconds`. Whoever connects again gets a
    snapshot again, and so does whoever was too slow.
    """
    marks: ChangeMarker = request.app.state.marks
    yield ServerSentEvent(retry=RETRY_MS, comment="hello")
    checked = time.monotonic()
    while not request.app.state.stopping.is_set():
        try:
            if told.mark is None or told.mark != await marks.latest():
                for event in await run_in_threadpool(lambda: list(told.news())):
                    yield event
        except StorageUnavailable:
            pass  # it comes back, or the caller gives up
        if time.monotonic() - checked > CHECK_SECONDS:
            checked = time.monotonic()
            if not await is_still_authorized(request):
                return
        await anyio.sleep(LOOK_SECONDS)
