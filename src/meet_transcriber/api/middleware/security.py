"""Security headers, limits on request headers, and the loopback-only mode."""

import socket
from collections.abc import Callable, Iterable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.api.errors import internal_error
from meet_transcriber.api.http import send_error
from meet_transcriber.api.middleware.proxy_headers import non_local_reason, requested_host
from meet_transcriber.api.middleware.rate_limit import read_address
from meet_transcriber.core.errors import AccessError, HostRefused, NotLocal

HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}
"""From OWASP's REST Security Cheat Sheet; a header that the route sets wins."""

_HSTS = (b"strict-transport-security", b"max-age=31536000")
_NO_STORE = (b"cache-control", b"no-store")
_REVALIDATE = (b"cache-control", b"private, no-cache")

URL_BYTES = 16 << 10
HEADERS_BYTES = 32 << 10
HEADERS_COUNT = 100


class SecurityHeadersMiddleware:
    """
    Middleware: adds the security headers to every response, that of an unexpected error included.

    Starlette would send that one from outside all middleware, without these headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = _complete(list(message["headers"]), scope["scheme"])
            await send(message)

        try:
            await self._app(scope, receive, send_safely)
        except Exception as error:
            response = internal_error(Request(scope), error)
            if not started:
                await response(scope, receive, send_safely)
            raise  # the server logs it with its traceback


def _complete(given: list[tuple[bytes, bytes]], scheme: str) -> list[tuple[bytes, bytes]]:
    """Add `HEADERS`, how to cache unless the route says it, and HSTS over HTTPS."""
    names = {name.lower() for name, _ in given}
    given += [(name, value) for name, value in HEADERS.items() if name not in names]
    if b"cache-control" not in names:
        given.append(_REVALIDATE if b"etag" in names else _NO_STORE)
    if scheme == "https":
        given.append(_HSTS)
    return given


class OwnCookiesMiddleware:
    """
    Middleware: removes the cookies of other programs.

    FastAPI parses all cookies of each request, before a key is checked, and to unquote one takes
    quadratic time before Python 3.11.10 (CVE-2024-7592).

    Args:
        names: of our cookies, whose values have no quotes.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = {name.encode() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if any(name == b"cookie" for name, _ in scope.get("headers", ())):
            scope["headers"] = [
                (name, self._own(value) if name == b"cookie" else value)
                for name, value in scope["headers"]
            ]
        await self._app(scope, receive, send)

    def _own(self, cookies: bytes) -> bytes:
        pairs = (pair.strip() for pair in cookies.split(b";"))
        return b"; ".join(
            pair
            for pair in pairs
            if pair.partition(b"=")[0].strip() in self._names and b'"' not in pair
        )


Refusal = Callable[[Scope], AccessError | HTTPException | None]


class RefusalMiddleware:
    """Middleware: answers with an error before routing, where `refusal` returns one."""

    def __init__(self, app: ASGIApp, refusal: Refusal) -> None:
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._refusal(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
        else:
            await send_error(error, scope, receive, send)


def oversized(scope: Scope) -> HTTPException | None:
    """Refuse URLs and headers above fixed sizes."""
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_BYTES:
        about = f"The URL has more than {URL_BYTES >> 10} KiB; send options in the body."
        return HTTPException(414, about)
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope["headers"]) > HEADERS_COUNT or size > HEADERS_BYTES:
        most = f"{HEADERS_COUNT} headers or {HEADERS_BYTES >> 10} KiB of headers"
        return HTTPException(431, f"The request has more than {most}.")
    return None


def not_local(scope: Scope) -> NotLocal | None:
    """Refuse all but programs and pages of this machine, for AUTH_MODE=loopback."""
    reason = non_local_reason(scope)
    if reason is None:
        return None
    return NotLocal(
        f"AUTH_MODE=loopback admits only programs on this machine without a key, and {reason}; "
        "call http://127.0.0.1 directly, or set AUTH_MODE=required and use an API key."
    )


ANY_HOST = "*"


def foreign_host(allowed: Iterable[str], machine: str = "") -> Refusal:
    """
    Refuse requests to unknown host names, for AUTH_MODE=open.

    A page of any site may give its own host name the address of this service (DNS rebinding); to
    the browser of a colleague the service is then a part of that site, which may read all of it.

    Args:
        allowed: names besides addresses and those of this machine; `ANY_HOST` allows all.
        machine: the name of this machine; asked of the system if empty.
    """
    machine = (machine or socket.gethostname()).lower()
    short = machine.partition(".")[0]
    names = {"localhost", machine, short, f"{short}.local"}
    names |= {name.lower().rstrip(".") for name in allowed}

    def refusal(scope: Scope) -> HostRefused | None:
        host = requested_host(scope).rstrip(".")
        if ANY_HOST in names or host in names or read_address(host) is not None:
            return None
        return HostRefused(
            "AUTH_MODE=open answers to addresses and to the name of this machine only, not to "
            "other names in the Host header; ALLOWED_HOSTS may list them."
        )

    return refusal
