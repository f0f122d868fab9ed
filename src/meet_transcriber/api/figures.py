"""How much waits and runs, for whoever adds workers when it grows."""

from fastapi import APIRouter
from starlette.responses import Response

from meet_transcriber.api import shown
from meet_transcriber.api.admission import ToMonitor
from meet_transcriber.api.documented import answer, problems
from meet_transcriber.service import figures

router = APIRouter(tags=["health"])


@router.get(
    "/queue",
    operation_id="getQueue",
    summary="How much waits and runs",
    response_class=Response,
    responses={**answer(200, "Counts over all tenants, of this moment.", "Queue"), **problems()},
)
def queue(service: ToMonitor) -> Response:
    """
    What autoscalers ask: `celery_queue_length` counts tasks that wait or run.

    It is 0 only when nothing is left to do, so workers that follow it never fall to none while
    one of them works.
    """
    ground = service.ground
    told = figures.look(ground.jobs, ground.queue, ground.clock()).plain()
    return Response(shown.dumped(told), 200, {"Cache-Control": "no-store"}, "application/json")
