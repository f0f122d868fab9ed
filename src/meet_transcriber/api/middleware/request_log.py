"""Request id, metrics and log line of every request."""

import os
import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.observability.logging import bind, get_logger
from meet_transcriber.ports.observability import Meters

log = get_logger(__name__)

UNKNOWN = "unknown"
"""Route label of requests that match no route, so that arbitrary paths create no series."""

_VALID_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")  # cannot forge a header or a log line
_HEADER = b"x-request-id"
PROBES = frozenset({"/health", "/health/ready", "/metrics", "/queue"})
"""Paths polled every few seconds, which get no span and are logged at debug level only."""
_SERVER_ERROR = 500


class RequestLogMiddleware:
    """
    The outermost middleware: accepts a valid X-Request-ID or makes one, returns it, and binds it
    to every log line of the request; counts and logs the response.
    """

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        request_id = given if _VALID_ID.fullmatch(given) else os.urandom(16).hex().encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        bind(request_id=request_id.decode())
        status, started = _SERVER_ERROR, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                kept = [pair for pair in message["headers"] if pair[0] != _HEADER]
                message["headers"] = [*kept, (_HEADER, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN)
        self._meters.request(scope["method"], route, status, seconds)
        write = log.debug if route in PROBES and status < _SERVER_ERROR else log.info
        write(
            "request_answered",
            method=scope["method"],
            route=route,
            status=status,
            seconds=round(seconds, 4),
            **_key_and_job(scope),
        )


def _key_and_job(scope: Scope) -> dict[str, str]:
    """The ids of the caller's key and of the job, where known."""
    state: dict[str, Any] = scope["state"]
    caller, job = state.get("caller"), state.get("job")
    job_id = job.id if job else scope.get("path_params", {}).get("job_id", "")
    known = {"key": caller.key_id if caller else "", "job_id": job_id}
    return {name: value for name, value in known.items() if value}
