"""What every answer carries for browsers, and what no request may exceed."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.api.http import error_response, plain_error_response, send_early
from meet_transcriber.api.middleware.proxy_headers import non_local_reason
from meet_transcriber.api.security_headers import completed
from meet_transcriber.core.errors import NotLocal

URL_BYTES = 16 << 10
HEADERS_BYTES = 32 << 10
HEADERS_COUNT = 100


class SecurityHeadersMiddleware:
    """Middleware: adds what `safe_headers` says."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = completed(list(message["headers"]), scope["scheme"])
            await send(message)

        await self._app(scope, receive, send_safely)


class RequestSizeLimitMiddleware:
    """Middleware: a longer address or more headers than anybody needs are refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _excess(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
        else:
            await send_early(plain_error_response(scope, *found), scope, receive, send)


def _excess(scope: Scope) -> tuple[int, str] | None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_BYTES:
        return 414, f"The address has more than {URL_BYTES >> 10} KiB; send options in the body."
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope["headers"]) > HEADERS_COUNT or size > HEADERS_BYTES:
        most = f"{HEADERS_COUNT} headers and {HEADERS_BYTES >> 10} KiB of them"
        return 431, f"The request has more than {most}."
    return None


class LoopbackOnlyMiddleware:
    """Middleware: nobody but programs and pages of this very machine comes in (AUTH_MODE)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = non_local_reason(scope) if scope["type"] == "http" else None
        if why is None:
            await self._app(scope, receive, send)
            return
        error = NotLocal(
            f"AUTH_MODE=loopback lets only programs on this machine in without a key, and {why}; "
            "call http://127.0.0.1 directly, or set AUTH_MODE=required and use an API key."
        )
        await send_early(error_response(scope, error), scope, receive, send)
