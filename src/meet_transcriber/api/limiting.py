"""Rate limits over HTTP: who counts for what, and what answers say of it (RateLimit headers)."""

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.api.proxies import household
from meet_transcriber.api.refusing import answer_early, refusal
from meet_transcriber.core.errors import RateLimited
from meet_transcriber.core.rates import FAILED, Count, Limits

P = ParamSpec("P")
T = TypeVar("T")

PROBES = ("/health", "/health/ready")
"""Never limited: an orchestrator may share its address with everybody whom it lets in."""


class AddressLimits:
    """Middleware: limits what one address asks, and how often it is wrong about its key."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        limits, who = self._limits, household((scope.get("client") or ("", 0))[0])

        async def send_and_learn(message: Message) -> None:
            if message.get("status") == HTTPStatus.UNAUTHORIZED:
                await _run(limits, limits.failed, who)
            await send(message)

        counts = await _run(limits, limits.failed_too_often, who)
        counts = counts or await _run(limits, limits.count, "address", who, submits(scope))
        await _go_on(self._app, counts, scope, receive, send_and_learn)


class KeyLimits:
    """
    Middleware: limits what one API key asks, from however many addresses.

    Args:
        key_of: the id of the key that a request was let in with; empty without one.
    """

    def __init__(self, app: ASGIApp, limits: Limits, key_of: Callable[[Scope], str]) -> None:
        self._app = app
        self._limits = limits
        self._key_of = key_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._key_of(scope) if scope["type"] == "http" else ""
        if not key or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        counts = await _run(self._limits, self._limits.count, "key", key, submits(scope))
        await _go_on(self._app, counts, scope, receive, send)


async def _run(limits: Limits, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    if limits.quick:
        return call(*args, **kwargs)
    return await run_in_threadpool(call, *args, **kwargs)


async def _go_on(
    app: ASGIApp, counts: Sequence[Count], scope: Scope, receive: Receive, send: Send
) -> None:
    """Let the request pass, unless a limit was passed; the answer says where the caller stands."""

    async def send_with_counts(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = _merged(list(message["headers"]), counts)
        await send(message)

    if all(count.allowed for count in counts):
        await app(scope, receive, send_with_counts)
        return
    error = passed(next(count for count in counts if not count.allowed))
    await answer_early(refusal(scope, error), scope, receive, send_with_counts)


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
    makes = path == "/transcribe" or path.startswith("/v1/audio") or path.endswith("/rerun")
    return makes and scope["method"] == "POST"


def _merged(given: list[tuple[bytes, bytes]], counts: Iterable[Count]) -> list[tuple[bytes, bytes]]:
    """Headers of draft-ietf-httpapi-ratelimit-headers-10, after those of a limiter further in."""
    for name, written in ((b"ratelimit-policy", _policy), (b"ratelimit", _standing)):
        values = [value for each, value in given if each == name]
        values = [written(count).encode() for count in counts] + values
        given = [pair for pair in given if pair[0] != name]
        if values:
            given.append((name, b", ".join(values)))
    return given


def _policy(count: Count) -> str:
    return f'"{count.policy}";q={count.rate.amount};w={count.rate.seconds}'


def _standing(count: Count) -> str:
    return f'"{count.policy}";r={count.remaining};t={count.reset_seconds}'
