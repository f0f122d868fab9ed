"""Headers that every answer has."""

import os
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SANE = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_NAME = b"x-request-id"


class RequestIds:
    """Middleware: X-Request-ID is taken over where it is sane, else made up, and echoed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _NAME), b"")
        request_id = given if _SANE.fullmatch(given) else os.urandom(16).hex().encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0] != _NAME]
                message["headers"] = [*kept, (_NAME, request_id)]
            await send(message)

        await self._app(scope, receive, send_with_id)
