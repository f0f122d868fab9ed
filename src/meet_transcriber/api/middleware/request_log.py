"""What is done about every request: an id, a figure, a line in the log."""

import os
import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.observability.logging import bind, get_logger
from meet_transcriber.ports.observability import Meters

log = get_logger(__name__)

UNKNOWN = "unknown"
"""The route of what no route answers, so that odd addresses make no figures of their own."""

_SANE = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_NAME = b"x-request-id"
PROBES = frozenset({"/health", "/health/ready", "/metrics", "/queue"})
"""What is asked every few seconds; a line or a span of each would tell nobody anything."""
_BROKEN = 500


class RequestLogMiddleware:
    """
    Middleware, the outermost: X-Request-ID is taken over where it is sane, else made up, and
    echoed; every line about the request tells it. How it was answered is counted and logged.
    """

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _NAME), b"")
        request_id = given if _SANE.fullmatch(given) else os.urandom(16).hex().encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        bind(request_id=request_id.decode())
        status, started = _BROKEN, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                kept = [pair for pair in message["headers"] if pair[0] != _NAME]
                message["headers"] = [*kept, (_NAME, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN)
        self._meters.request(scope["method"], route, status, seconds)
        tell = log.debug if route in PROBES and status < _BROKEN else log.info
        tell(
            "request_answered",
            method=scope["method"],
            route=route,
            status=status,
            seconds=round(seconds, 4),
            **_who_and_what(scope),
        )


def _who_and_what(scope: Scope) -> dict[str, str]:
    """The caller's key and the job, where they are known."""
    state: dict[str, Any] = scope["state"]
    caller, job = state.get("caller"), state.get("job")
    job_id = job.id if job else scope.get("path_params", {}).get("job_id", "")
    known = {"key": caller.key_id if caller else "", "job_id": job_id}
    return {name: value for name, value in known.items() if value}
