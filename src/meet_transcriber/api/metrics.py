"""Figures for Prometheus."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api.admission import ToMonitor
from meet_transcriber.api.documented import answer_in, problems

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        **answer_in(200, "In Prometheus' text format.", {"text/plain": {"type": "string"}}),
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
