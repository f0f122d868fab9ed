"""Rate limits over HTTP: who counts for what, and what answers say of it (RateLimit headers)."""

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
"""Key of an ASGI scope: where the API key stands."""


async def count_key(request: Request, key_id: str) -> None:
    """
    Count a request of an API key, from whatever address; those without one count nowhere.

    Raises:
        RateLimited: there were too many.
    """
    if not key_id:
        return
    limits: Limits = request.app.state.limits
    if not limits.off:
        counts = await run(limits, limits.count, "key", key_id, submits(request.scope))
        request.scope[COUNTS] = counts
        check(counts)


async def run(limits: Limits, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a method of limits, in a thread where it asks over a network."""
    if limits.quick:
        return call(*args, **kwargs)
    return await run_in_threadpool(call, *args, **kwargs)


def check(counts: Iterable[Count]) -> None:
    """Raise RateLimited where one of the limits was passed."""
    for count in counts:
        if not count.allowed:
            raise passed(count)


def passed(count: Count) -> RateLimited:
    """The error of somebody who asked too often."""
    setting = {FAILED: "RATE_LIMIT_FAILED_AUTH"}.get(count.policy, "RATE_LIMIT")
    setting += "_SUBMIT" if count.policy.endswith("-submit") else ""
    what = "wrong API keys" if count.policy == FAILED else "requests"
    return RateLimited(
        f"There were more than {count.rate.amount} {what} in {count.rate.seconds} seconds, the "
        f"limit that {setting} sets; try again in {count.reset_seconds} seconds.",
        count.reset_seconds,
    )


def submits(scope: Scope) -> bool:
    """Whether a request makes work."""
    path: str = scope["path"].rstrip("/")
    makes = path in {"/transcribe", "/uploads", "/voices"} or path.endswith("/rerun")
    return scope["method"] == "POST" and (makes or path.startswith("/v1/audio"))


def tried_a_key(scope: Scope) -> bool:
    """Whether a request showed a key; none at all, or a session that is over, is no attempt."""
    names = {name for name, _ in scope["headers"]}
    signs_in = scope["path"] == "/session" and scope["method"] == "POST"
    return signs_in or bool(names & {b"authorization", b"x-api-key"})


def shows_nothing(scope: Scope) -> bool:
    """Whether a request has nothing with it by which somebody might be known."""
    return not {name for name, _ in scope["headers"]} & {b"authorization", b"x-api-key", b"cookie"}


def standing(counts: Sequence[Count]) -> Iterator[tuple[bytes, bytes]]:
    """As draft-ietf-httpapi-ratelimit-headers-10 has them."""
    if counts:
        yield b"ratelimit-policy", ", ".join(map(_policy, counts)).encode()
        yield b"ratelimit", ", ".join(map(_standing, counts)).encode()


def _policy(count: Count) -> str:
    return f'"{count.policy}";q={count.rate.amount};w={count.rate.seconds}'


def _standing(count: Count) -> str:
    return f'"{count.policy}";r={count.remaining};t={count.reset_seconds}'


PROBES = ("/health", "/health/ready")
"""Not limited without a key: an orchestrator may share its address with all whom it lets in."""


class AddressLimitMiddleware:
    """Middleware: limits what one address asks, and how often it is wrong about its key."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["path"] in PROBES and shows_nothing(scope)):
            await self._app(scope, receive, send)
            return
        limits, who = self._limits, client_key((scope.get("client") or ("", 0))[0])
        counts = await run(limits, limits.count_address, who, submits(scope))

        async def send_and_learn(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == HTTPStatus.UNAUTHORIZED and tried_a_key(scope):
                    await run(limits, limits.failed, who)
                known = [*counts, *scope.get(COUNTS, ())]
                message["headers"] = [*message["headers"], *standing(known)]
            await send(message)

        try:
            check(counts)
        except RateLimited as error:
            await send_early(error_response(scope, error), scope, receive, send_and_learn)
        else:
            await self._app(scope, receive, send_and_learn)
