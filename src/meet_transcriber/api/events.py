"""What happens to a job, as server-sent events."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from meet_transcriber.api import shown
from meet_transcriber.api.admission import ToRead, still_admitted
from meet_transcriber.api.context import JobId
from meet_transcriber.api.documented import answer, problems
from meet_transcriber.core.errors import JobNotFound, StorageUnavailable
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.wire import to_plain
from meet_transcriber.service import Service

router = APIRouter(tags=["transcriptions"])

_LOOK_SECONDS = 0.3
RETRY_MS = 2000
CHECK_SECONDS = 1.0
"""How long a key that was revoked may go on listening."""


class NothingMore(Exception):
    """The caller has heard the end of this job."""


@dataclass
class Told:
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
    def from_id(cls, text: str | None) -> "Told":
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
    service: ToRead,
    job_id: JobId,
    last_event_id: Annotated[
        str | None, Header(description="Where to go on; events before it are not repeated.")
    ] = None,
) -> Told:
    """Before anything is sent: the job is there, and there is something to tell."""
    told = Told.from_id(last_event_id)
    job = await run_in_threadpool(service.reading.job, job_id)
    if told.ended and job.ended and told.run == job.run:
        raise NothingMore
    return Told(told.version, told.run, told.parts, told.warnings)


@router.get(
    "/transcribe/{job_id}/events",
    operation_id="followTranscription",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Events until the job's end: progress, segment, warning, done, error."
        },
        **answer(204, "The end was told already."),
        **problems(404, 422),
    },
)
async def follow(
    request: Request,
    service: ToRead,
    job_id: JobId,
    told: Annotated[Told, Depends(_listener)],
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
            if not await still_admitted(request):
                return
        await anyio.sleep(0 if told.ended else _LOOK_SECONDS)


def _news(service: Service, job_id: str, told: Told) -> tuple[list[ServerSentEvent], Told]:
    """What happened since, and what is told with it; cheap when nothing did."""
    if service.reading.version(job_id) == told.version:
        return [], told
    told = replace(told, parts=set(told.parts))  # nothing is told if this breaks off
    return list(_events(service, service.reading.job(job_id), told)), told


def _events(service: Service, job: Job, told: Told) -> Iterator[ServerSentEvent]:
    if told.run != job.run:
        told.run, told.parts, told.warnings = job.run, set(), 0
    if not job.ended:
        for name, segment in service.reading.parts(job, told.parts):
            data = {"part": int(name[6:10]), **_words(segment)}
            yield ServerSentEvent(event="segment", data=data)
    for warning in job.warnings[told.warnings :]:
        yield ServerSentEvent(event="warning", data=to_plain(warning))
    told.warnings, told.version = len(job.warnings), job.version
    if not job.ended:
        body = shown.status(job, service.reading.wait(job))
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


def _end(job: Job, told: Told) -> ServerSentEvent:
    if job.state == "completed":
        told.ended = True
        return ServerSentEvent(event="done", id=told.id, data=shown.entry(job))
    code, message = "job_cancelled", "The job was cancelled."
    if job.error is not None and job.state == "failed":
        code, message = job.error.code, job.error.message
    return _error(told, code, message, job.state)


def _error(told: Told, code: str, message: str, status: str) -> ServerSentEvent:
    told.ended = True
    data = {"code": code, "message": message, "status": status}
    return ServerSentEvent(event="error", id=told.id, data=data)
