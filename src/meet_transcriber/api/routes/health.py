"""Whether the process lives, and whether it can do its work."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import CanReadDetails, ToAdminister, ToMonitor
from meet_transcriber.api.openapi import problems, response, response_in
from meet_transcriber.core.errors import NothingToFetch, TranscriptionError
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.service import FETCH_ASKED, Service, queue_stats

router = APIRouter(tags=["health"])

_PATIENCE_SECONDS = 3.0
_THREADS = 8
_JSON = "application/json"


@dataclass(frozen=True)
class ReadinessReport:
    """What a round found wrong of each dependency, nothing where all is well; and the workers."""

    wrong: dict[str, str] = field(default_factory=dict)
    workers: list[WorkerInfo] = field(default_factory=list)


class ReadinessProbe:
    """
    Asks every dependency, one round at a time and in threads of its own.

    Strangers may want to know, and as often as they like. Whoever comes during a round gets the
    result of the next one, so no answer is older than its question.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._turn = anyio.Lock()
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._began = -math.inf
        self._found = ReadinessReport()

    async def check(self) -> ReadinessReport:
        """The result of a round that began after this was called."""
        asked = time.monotonic()
        async with self._turn:
            if self._began < asked:
                self._began = time.monotonic()
                self._found = await self._made()
            return self._found

    async def _made(self) -> ReadinessReport:
        context, found = self._service.context, ReadinessReport()
        checks: dict[str, Callable[[], object]] = {
            "job_store": context.jobs.ping,
            "media_store": context.media.ping,
            "queue": context.queue.ping,
            "worker": lambda: _workers(self._service, found.workers),
        }
        async with anyio.create_task_group() as tasks:
            for name, check in checks.items():
                tasks.start_soon(self._ask, name, check, found.wrong)
        return found

    async def _ask(self, name: str, check: Callable[[], object], wrong: dict[str, str]) -> None:
        wrong[name] = (
            f"No answer within {_PATIENCE_SECONDS:.0f} s. See whether it runs, and whether it can "
            "be reached from here."
        )
        with anyio.move_on_after(_PATIENCE_SECONDS):
            try:
                await run_sync(check, abandon_on_cancel=True, limiter=self._threads)
                wrong[name] = ""
            except TranscriptionError as error:
                wrong[name] = str(error)


@router.get(
    "/health",
    operation_id="getHealth",
    summary="The process lives",
    response_class=Response,
    responses=response(200, "It does.", "Health"),
)
async def health() -> Response:
    """Always the same; asks nobody else."""
    return Response(b'{"status":"ok"}', media_type=_JSON)


@router.get(
    "/health/ready",
    operation_id="getReadiness",
    summary="Every dependency answers",
    response_class=Response,
    responses={
        **response(200, "Recordings can be taken in and worked on.", "Readiness"),
        **response(503, "Something is missing; says what.", "Readiness", ("Retry-After",)),
        **{status: problems(422)[status] for status in (401, 422, 429)},
    },
)
async def ready(
    request: Request,
    may_look: CanReadDetails,
    worker: Annotated[
        bool,
        Query(description="Whether a worker has to be there; without, only what takes jobs in."),
    ] = True,
) -> Response:
    """
    Ask the job store, the media store, the queue and the workers whether they are there.

    A probe of a load balancer says `worker=false`: recordings can be taken in while nobody
    works, and where workers come and go with the queue they must be.

    What is wrong, and who works, is told to those who may read; others hear whether all is well.
    A key that is shown has to hold.
    """
    probe: ReadinessProbe = request.app.state.readiness
    found = await probe.check()
    told = {name: why for name, why in found.wrong.items() if worker or name != "worker"}
    workers = found.workers if worker and may_look else []
    wrong = any(told.values())
    body = {
        "status": "not_ready" if wrong else "ready",
        "checks": {name: _told(why, may_look) for name, why in told.items()},
        "workers": [_shown(each) for each in workers],
        "engines": _engines(workers) if may_look else None,
    }
    headers = {"Cache-Control": "no-store", **({"Retry-After": "5"} if wrong else {})}
    return Response(serializers.dumped(body), 503 if wrong else 200, headers, _JSON)


def _engines(workers: list[WorkerInfo]) -> dict[str, Any]:
    """How far weights are that a worker fetches; of several workers the one that has most to do."""
    busiest = max(workers, key=lambda worker: worker.fetch_bytes, default=None)
    running = busiest is not None and busiest.fetch_bytes > 0
    return {
        "fetching": {"bytes": busiest.fetched_bytes, "total": busiest.fetch_bytes}
        if running and busiest is not None
        else None
    }


@router.post(
    "/models/fetch",
    operation_id="fetchModels",
    summary="Have workers look for missing engines again",
    response_class=Response,
    status_code=202,
    responses={**response(202, "They were asked to.", "FetchAsked"), **problems(409)},
)
def fetch_models(service: ToAdminister) -> Response:
    """
    Ask workers whose engines are missing, as no weights could be had when they began, to look for
    them again at once rather than within a minute; /health/ready shows how far it is.
    """
    lacking = [
        each for each in service.context.jobs.workers(service.context.clock()) if each.problem
    ]
    if not lacking:
        raise NothingToFetch("Every worker has its engines already.")
    service.context.jobs.set_fact(FETCH_ASKED, repr(service.context.clock()))
    body = {"status": "asked", "workers": len(lacking)}
    return Response(serializers.dumped(body), 202, {"Cache-Control": "no-store"}, _JSON)


def _told(wrong: str, may_look: bool) -> dict[str, Any]:
    detail = wrong if may_look else "a key with the scope read is told what is wrong"
    return {"ok": not wrong, "detail": detail if wrong else "ok"}


class _NoWorker(TranscriptionError):
    """Nobody is there who could do the work."""


def _workers(service: Service, seen: list[WorkerInfo]) -> None:
    """Note the workers; every queue needs one that has what it takes."""
    seen += service.context.jobs.workers(service.context.clock())
    if not seen:
        raise _NoWorker("No worker was seen of late; start one, or wait until it is up.")
    for queue in QUEUES:
        serving = [worker for worker in seen if queue in worker.queues]
        if not serving:
            raise _NoWorker(f"No worker serves the queue {queue!r}.")
        if not any(_able(worker) for worker in serving):
            raise _NoWorker(_trouble(serving[0]))


def _able(worker: WorkerInfo) -> bool:
    return not worker.problem and worker.state in {"ready", "working"}


def _trouble(worker: WorkerInfo) -> str:
    if worker.problem:
        return worker.problem
    share = f" ({worker.progress:.0%})" if worker.state == "fetching" else ""
    return f"The worker is {worker.state}{share}: {worker.detail or 'not taking work yet'}."


def _shown(worker: WorkerInfo) -> dict[str, Any]:
    return {
        "id": worker.id,
        "queues": worker.queues,
        "state": worker.state,
        "engine": worker.engine,
        "diarizer": worker.diarizer,
        "detail": worker.detail,
        "problem": worker.problem,
        "progress": round(100.0 * worker.progress, 1),
        "notes": worker.notes,
        "seen_at": serializers.moment(worker.seen_at),
    }


@router.get(
    "/queue",
    operation_id="getQueue",
    summary="How much waits and runs",
    response_class=Response,
    responses={**response(200, "Counts over all tenants, of this moment.", "Queue"), **problems()},
)
def queue(service: ToMonitor) -> Response:
    """
    What autoscalers ask: `celery_queue_length` counts tasks that wait or run.

    It is 0 only when nothing is left to do, so workers that follow it never fall to none while
    one of them works.
    """
    context = service.context
    told = queue_stats.measure(context.jobs, context.queue, context.clock()).as_dict()
    return Response(
        serializers.dumped(told), 200, {"Cache-Control": "no-store"}, "application/json"
    )


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        **response_in(200, "In Prometheus' text format.", {"text/plain": {"type": "string"}}),
        **problems(),
    },
)
def metrics(request: Request, _service: ToMonitor) -> Response:
    """
    What is counted by this API, and by a worker that it runs itself; and what its stores say
    of all jobs and workers. Other workers tell theirs on METRICS_PORT.
    """
    exposition = request.app.state.exposition
    return Response(exposition.text(), 200, {"Cache-Control": "no-store"}, exposition.content_type)
