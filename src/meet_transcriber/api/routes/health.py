"""Liveness, readiness, queue length and metrics."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api.auth import AdminService, CanReadDetails, MonitorService
from meet_transcriber.api.openapi import problems, response, response_in, tagged_router
from meet_transcriber.api.serializers import JsonResponse, moment
from meet_transcriber.core.errors import NothingToFetch, TranscriptionError
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.service import FETCH_ASKED, Service
from meet_transcriber.service.queries import measure_queues

router = tagged_router("health")

_TIMEOUT_SECONDS = 3.0  # probes of orchestrators often wait five
_THREADS = 8


@dataclass(frozen=True)
class ReadinessReport:
    """
    The result of one round of checks.

    Attributes:
        problems: by dependency; empty text where it is well.
        workers: those seen lately.
    """

    problems: dict[str, str] = field(default_factory=dict)
    workers: list[WorkerInfo] = field(default_factory=list)


class ReadinessProbe:
    """
    Checks every dependency, one round at a time, in its own threads.

    Anyone may ask at any rate. Requests that come during a round share the next one, so no
    answer is older than its question.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._turn = anyio.Lock()
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._started_at = -math.inf
        self._report = ReadinessReport()

    async def check(self) -> ReadinessReport:
        """Return the report of a round that began after this call."""
        asked = time.monotonic()
        async with self._turn:
            if self._started_at < asked:
                started_at = time.monotonic()
                self._report = await self._run()
                self._started_at = started_at  # only now, as a round may fail or be cancelled
            return self._report

    async def _run(self) -> ReadinessReport:
        context, report = self._service.context, ReadinessReport()
        checks: dict[str, Callable[[], object]] = {
            "job_store": context.jobs.ping,
            "media_store": context.media.ping,
            "queue": context.queue.ping,
            "worker": lambda: _check_workers(self._service, report.workers),
        }
        async with anyio.create_task_group() as tasks:
            for name, check in checks.items():
                tasks.start_soon(self._ask, name, check, report.problems)
        return report

    async def _ask(self, name: str, check: Callable[[], object], problems: dict[str, str]) -> None:
        problems[name] = (
            f"No answer within {_TIMEOUT_SECONDS:.0f} s. Check that it runs and can be reached "
            "from here."
        )
        with anyio.move_on_after(_TIMEOUT_SECONDS):
            try:
                await run_sync(check, abandon_on_cancel=True, limiter=self._threads)
                problems[name] = ""
            except TranscriptionError as error:
                problems[name] = str(error)


@router.get(
    "/health",
    summary="The process is alive",
    responses=response(200, "It is.", "Health"),
)
async def get_health() -> Response:
    """Always the same; checks no dependency."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get(
    "/health/ready",
    summary="Every dependency answers",
    responses=response(200, "Recordings can be accepted and processed.", "Readiness")
    | response(503, "A dependency is missing; says which.", "Readiness", ("Retry-After",))
    | {status: problems(422)[status] for status in (401, 422, 429)},
)
async def get_readiness(
    request: Request,
    details: CanReadDetails,
    worker: Annotated[
        bool,
        Query(description="Whether a worker must be present; false checks only what accepts jobs."),
    ] = True,
) -> Response:
    """
    Check the job store, the media store, the queue and the workers.

    A load balancer's probe sends `worker=false`: recordings can be accepted while no worker runs,
    as where workers are scaled with the queue.

    Details and workers are shown to callers that may read; others learn only whether all is well.
    An invalid key is refused.
    """
    probe: ReadinessProbe = request.app.state.readiness
    report = await probe.check()
    found = {name: why for name, why in report.problems.items() if worker or name != "worker"}
    workers = report.workers if worker and details else []
    failing = any(found.values())
    body = {
        "status": "not_ready" if failing else "ready",
        "checks": {name: _check(why, details) for name, why in found.items()},
        "workers": [_worker(each) for each in workers],
        "engines": _engines(workers) if details else None,
    }
    return JsonResponse(body, 503, {"Retry-After": "5"}) if failing else JsonResponse(body)


def _engines(workers: list[WorkerInfo]) -> dict[str, Any]:
    """Progress of the weights that workers fetch; of several workers, of the largest download."""
    busiest = max(workers, key=lambda worker: worker.fetch_bytes, default=None)
    if busiest is None or not busiest.fetch_bytes:
        return {"fetching": None}
    return {"fetching": {"bytes": busiest.fetched_bytes, "total": busiest.fetch_bytes}}


@router.post(
    "/models/fetch",
    summary="Let workers retry missing engines",
    status_code=202,
    responses=response(202, "Workers were notified.", "FetchAsked") | problems(409),
)
def fetch_models(service: AdminService) -> Response:
    """
    Make workers that started without weights look for them now rather than within a minute;
    /health/ready shows the progress.
    """
    jobs, now = service.context.jobs, service.context.clock()
    lacking = sum(1 for worker in jobs.workers(now) if worker.problem)
    if not lacking:
        raise NothingToFetch("Every worker already has its engines.")
    jobs.set_fact(FETCH_ASKED, repr(now))
    return JsonResponse({"status": "asked", "workers": lacking}, 202)


def _check(problem: str, details: bool) -> dict[str, Any]:
    detail = problem if details else "details need a key with the scope read"
    return {"ok": not problem, "detail": detail if problem else "ok"}


class _NoWorker(TranscriptionError):
    """No worker can do the work."""


def _check_workers(service: Service, seen: list[WorkerInfo]) -> None:
    """Collect the workers; every queue needs one that can work."""
    seen += service.context.jobs.workers(service.context.clock())
    if not seen:
        raise _NoWorker("No worker was seen lately; start one, or wait until it is up.")
    for queue in QUEUES:
        serving = [worker for worker in seen if queue in worker.queues]
        if not serving:
            raise _NoWorker(f"No worker serves the queue {queue!r}.")
        if not any(each.state in {"ready", "working"} and not each.problem for each in serving):
            raise _NoWorker(_reason(serving[0]))


def _reason(worker: WorkerInfo) -> str:
    if worker.problem:
        return worker.problem
    share = f" ({worker.progress:.0%})" if worker.state == "fetching" else ""
    return f"The worker is {worker.state}{share}: {worker.detail or 'not taking work yet'}."


def _worker(worker: WorkerInfo) -> dict[str, Any]:
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
        "seen_at": moment(worker.seen_at),
    }


@router.get(
    "/queue",
    summary="How much waits and runs",
    responses=response(200, "Current counts over all tenants.", "Queue") | problems(),
)
def get_queue(service: MonitorService) -> Response:
    """
    For autoscalers: `celery_queue_length` counts tasks that wait or run.

    It is 0 only when no task is left, so scaling by it never removes the last worker at work.
    """
    context = service.context
    return JsonResponse(measure_queues(context.jobs, context.queue, context.clock()).as_dict())


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    responses=response_in(200, "Prometheus' text format.", {"text/plain": {"type": "string"}})
    | problems(),
)
def get_metrics(request: Request, _service: MonitorService) -> Response:
    """
    Metrics of this API and of its embedded worker, and what the stores know of all jobs and
    workers. Other workers serve theirs on METRICS_PORT.
    """
    exposition = request.app.state.exposition
    return Response(exposition.text(), media_type=exposition.content_type)
