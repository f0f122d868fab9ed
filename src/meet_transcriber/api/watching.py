"""What happens to all jobs of a caller, as server-sent events."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from meet_transcriber.api import shown
from meet_transcriber.api.admission import ToRead, still_admitted
from meet_transcriber.api.documented import problems
from meet_transcriber.api.events import CHECK_SECONDS, RETRY_MS
from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.service import Service

router = APIRouter(tags=["transcriptions"])

LOOK_SECONDS = 0.5
"""A job is told of at most once in so long."""

SHOWN_JOBS = 50


class Marks:
    """The mark of the latest change: looked for once in a while, however many want to know."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._mark, self._until = -1, 0.0
        self._turn = anyio.Lock()

    async def latest(self) -> int:
        """The mark as it was at most LOOK_SECONDS / 2 ago; raises StorageUnavailable."""
        async with self._turn:
            if time.monotonic() >= self._until:
                self._mark = await run_in_threadpool(self._service.reading.mark)
                self._until = time.monotonic() + LOOK_SECONDS / 2
            return self._mark


class Watch:
    """What one listener was told; `news` is for one thread at a time."""

    def __init__(self, service: Service) -> None:
        self.mark: int | None = None
        self._reading = service.reading
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
        return ServerSentEvent(event="job", data=shown.status(job, wait))

    def _gone(self, job_id: str) -> ServerSentEvent:
        self._places.pop(job_id, None)
        return ServerSentEvent(event="deleted", data={"job_id": job_id})


async def _watch(service: ToRead) -> Watch:
    """Refuse before the stream begins who may not listen."""
    return Watch(service)


@router.get(
    "/events",
    operation_id="watchTranscriptions",
    summary="Follow all jobs",
    response_class=EventSourceResponse,
    responses={200: {"description": "Events: job, snapshot, deleted."}, **problems()},
)
async def watch(
    request: Request, told: Annotated[Watch, Depends(_watch)]
) -> AsyncIterator[ServerSentEvent]:
    """
    First an event `job` for each of the newest 50 jobs, newest first, and `snapshot`; then a
    `job` whenever one changes, its place in the queue included, and `deleted`.

    A `job` is a JobEntry with `queue_position` and `eta_seconds`. Whoever connects again gets a
    snapshot again, and so does whoever was too slow.
    """
    marks: Marks = request.app.state.marks
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
            if not await still_admitted(request):
                return
        await anyio.sleep(LOOK_SECONDS)
