"""Rate limits over HTTP by address and by key, and their RateLimit headers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.api.http import error_response, send_early
from meet_transcriber.api.middleware.proxy_headers import client_key
from meet_transcriber.core.errors import RateLimited
from meet_transcriber.core.rate_limit import FAILED, Count, Limits

P = ParamSpec("P")
T = TypeVar("T")

COUNTS = "meet_transcriber.counts"
"""Key of an ASGI scope: the counts of the API key."""


async def count_key(request: Request, key_id: str) -> None:
    """
    Count a request against its API key; without a key nothing is counted.

    Raises:
        RateLimited: the key's limit is exceeded.
    """
    if not key_id:
        return
    limits: Limits = request.app.state.limits
    if not limits.off:
        counts = await call_limits(
            limits, limits.count, "key", key_id, is_submission(request.scope)
        )
        request.scope[COUNTS] = counts
        check(counts)


async def call_limits(limits: Limits, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a method of the limits, in a thread where it uses the network."""
    if limits.quick:
        return call(*args, **kwargs)
    return await run_in_threadpool(call, *args, **kwargs)


def check(counts: Iterable[Count]) -> None:
    """Raise RateLimited where one of the limits is exceeded."""
    for count in counts:
        if not count.allowed:
            raise limit_error(count)


def limit_error(count: Count) -> RateLimited:
    """The error for an exceeded limit."""
    setting = {FAILED: "RATE_LIMIT_FAILED_AUTH"}.get(count.policy, "RATE_LIMIT")
    setting += "_SUBMIT" if count.policy.endswith("-submit") else ""
    what = "wrong API keys" if count.policy == FAILED else "requests"
    return RateLimited(
        f"More than {count.rate.amount} {what} in {count.rate.seconds} seconds, the limit set by "
        f"{setting}; try again in {count.reset_seconds} seconds.",
        count.reset_seconds,
    )


def is_submission(scope: Scope) -> bool:
    """Whether a request starts work."""
    path: str = scope["path"].rstrip("/")
    makes = path in {"/transcribe", "/uploads", "/voices"} or path.endswith("/rerun")
    return scope["method"] == "POST" and (makes or path.startswith("/v1/audio"))


def has_key_attempt(scope: Scope) -> bool:
    """Whether a request tried a key; a missing key or an expired session is no attempt."""
    names = {name for name, _ in scope["headers"]}
    signs_in = scope["path"] == "/session" and scope["method"] == "POST"
    return signs_in or bool(names & {b"authorization", b"x-api-key"})


def is_anonymous(scope: Scope) -> bool:
    """Whether a request has no credentials at all."""
    return not {name for name, _ in scope["headers"]} & {b"authorization", b"x-api-key", b"cookie"}


def limit_headers(counts: Sequence[Count]) -> Iterator[tuple[bytes, bytes]]:
    """The headers of draft-ietf-httpapi-ratelimit-headers-10."""
    if counts:
        yield b"ratelimit-policy", ", ".join(map(_policy, counts)).encode()
        yield b"ratelimit", ", ".join(map(_state, counts)).encode()


def _policy(count: Count) -> str:
    return f'"{count.policy}";q={count.rate.amount};w={count.rate.seconds}'


def _state(count: Count) -> str:
    return f'"{count.policy}";r={count.remaining};t={count.reset_seconds}'


PROBES = ("/health", "/health/ready")
"""Not limited without credentials: an orchestrator may share its address with all clients."""


class AddressLimitMiddleware:
    """Middleware: limits requests and failed authentications of one address."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["path"] in PROBES and is_anonymous(scope)):
            await self._app(scope, receive, send)
            return
        limits, client = self._limits, client_key((scope.get("client") or ("", 0))[0])
        counts = await call_limits(limits, limits.count_address, client, is_submission(scope))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == HTTPStatus.UNAUTHORIZED and has_key_attempt(scope):
                    await call_limits(limits, limits.failed, client)
                known = [*counts, *scope.get(COUNTS, ())]
                message["headers"] = [*message["headers"], *limit_headers(known)]
            await send(message)

        try:
            check(counts)
        except RateLimited as error:
            await send_early(error_response(scope, error), scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)
