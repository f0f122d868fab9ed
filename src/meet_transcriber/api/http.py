"""HTTP helpers: bodies, Accept, file names, early errors, addresses, limited threads."""

import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Annotated, Any, Generic, ParamSpec, TypeVar
from urllib.parse import quote

import anyio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Path
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from meet_transcriber.api.errors import (
    BODY_UNREAD,
    PHRASES,
    OptionProblems,
    Problem,
    problem_of,
    problems_in,
)
from meet_transcriber.api.openai.errors import ApiError, enveloped
from meet_transcriber.core.errors import (
    InvalidOptions,
    MalformedRequest,
    TranscriptionError,
    UploadTooLarge,
)
from meet_transcriber.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

SMALL_BODY_BYTES = 256 << 10
"""Limit on a body without a recording, and on all fields of a form together."""

STALL_SECONDS = 60.0
"""How long a sender may pause in the middle of a body."""

BEAT_SECONDS = 5.0
_MEBIBYTE = 1 << 20


def settings_of(request: Request) -> Settings:
    """The settings of the app that serves a request."""
    settings: Settings = request.app.state.settings
    return settings


JobId = Annotated[
    str, Path(description="The job's id.", examples=["0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"])
]


async def body(
    request: Request,
    limit: int,
    beat: Callable[[], Awaitable[None]] | None = None,
    beat_seconds: float = BEAT_SECONDS,
) -> AsyncIterator[bytes]:
    """
    Yield a request's body, at most about `limit` bytes of it.

    Args:
        beat: called every `beat_seconds` in which nothing is received.

    Raises:
        UploadTooLarge: it is longer, by its announced length or in fact.
        ClientDisconnect: the sender disconnected.
        HTTPException: 408, the sender paused for too long.
    """
    request.scope[BODY_UNREAD] = True
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    size, more = 0, True
    while more:
        message = await _next_message(request, beat, beat_seconds)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk
    request.scope[BODY_UNREAD] = False


async def _next_message(
    request: Request, beat: Callable[[], Awaitable[None]] | None, beat_seconds: float
) -> Message:
    silent_since = time.monotonic()
    while time.monotonic() - silent_since < STALL_SECONDS:
        with anyio.move_on_after(beat_seconds):
            return await request.receive()
        if beat is not None:
            await beat()
    raise _stalled()


async def small_body(request: Request, limit: int = SMALL_BODY_BYTES) -> bytes:
    """Read a body without a recording within STALL_SECONDS; raises as `body` does."""
    try:
        with anyio.fail_after(STALL_SECONDS):
            return b"".join([chunk async for chunk in body(request, limit)])
    except TimeoutError as error:
        raise _stalled() from error


def content_type(request: Request) -> str:
    """The media type of a request's body, without parameters; "" if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _stalled() -> HTTPException:
    return HTTPException(
        408, f"Too little was received in {STALL_SECONDS:.0f} seconds; send it again."
    )


def _too_large(limit: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"The request exceeds {limit / _MEBIBYTE:.4g} MiB; for recordings "
        "MAX_UPLOAD_SIZE_MB sets the limit."
    )


class RequestModel(BaseModel):
    """The body of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_integer(cls, value: object) -> object:
        """Turn 3.0 into 3, as JSON does not distinguish them."""
        return int(value) if isinstance(value, float) and value.is_integer() else value


class JsonBody(Generic[M]):
    """
    Dependency that parses a small JSON object; an empty body counts as `{}`.

    FastAPI's own body parameters would read the body before the caller is authenticated, without
    limits of size and time, and would accept repeated names.

    Raises:
        MalformedRequest, InvalidOptions, UploadTooLarge: the body is not such an object.
    """

    def __init__(self, model: type[M]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> M:
        data = await small_body(request)
        return validate(self.model, read_json(data) if data.strip() else {})


def json_body(model: type[BaseModel]) -> Any:
    """The default of a route parameter that holds the JSON body."""
    return Depends(JsonBody(model))


def validate(model: type[M], value: object) -> M:
    """
    Parse a value.

    Raises:
        OptionProblems: names each field that is wrong.
        InvalidOptions: the fields are wrong together.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fields = [field.alias or name for name, field in model.model_fields.items()]
        found = problems_in(error.errors(), fields)
        named = [each for each in found if each[0]]
        raise OptionProblems(named) if named else InvalidOptions(found[0][1]) from error


def read_json(data: bytes) -> dict[str, object]:
    """
    Parse a JSON object.

    Raises:
        MalformedRequest: the body is not valid JSON.
        InvalidOptions: the JSON is not an object.
    """
    try:
        value = json.loads(data, object_pairs_hook=_without_repetition)
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"The body is not valid JSON: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise InvalidOptions("The body must be a JSON object.")
    return value


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # RFC 8259 does not say which of two values counts, so proxies and this server may differ.
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object repeats a name")
    return made


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether If-None-Match contains this ETag."""
    if not if_none_match:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def negotiate(accept: str | None, offered: Mapping[str, str]) -> str:
    """
    The value of the offered media type that the client prefers.

    The first one offered wins among equals, and without an Accept header.

    Raises:
        HTTPException: 406, none is acceptable.
    """
    accepted = _accepted_qualities(accept or "*/*")
    ranked = [(_quality(kind, accepted), -at) for at, kind in enumerate(offered)]  # first wins
    quality, place = max(ranked, default=(0.0, 0))
    if quality <= 0:
        raise HTTPException(406, f"Available media types: {', '.join(offered)}.")
    return list(offered.values())[-place]


def _accepted_qualities(accept: str) -> dict[str, float]:
    accepted: dict[str, float] = {}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        accepted[kind] = _number(quality)
    return accepted


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _quality(kind: str, accepted: Mapping[str, float]) -> float:
    """The quality of a media type: the most specific range that matches counts."""
    family = kind.partition("/")[0] + "/*"
    return next((accepted[each] for each in (kind, family, "*/*") if each in accepted), 0.0)


_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 -_.()")
_STEM_LENGTH = 120


def attachment(name: str, extension: str) -> str:
    """
    A Content-Disposition for a file derived from the recording `name`.

    The quoted name is ASCII for old clients, `filename*` has all characters (RFC 6266, RFC 5987).
    """
    stem = _stem(name)
    plain = "".join(char if char in _PLAIN else "_" for char in stem)
    full = quote(f"{stem}.{extension}", safe="", errors="replace")  # lone surrogates have no UTF-8
    return f"attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{full}"


def _stem(name: str) -> str:
    """The name without path, extension, and characters that file systems refuse."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rpartition(".")[0] or last
    kept = "".join(char for char in stem if char.isprintable() and char not in '<>:"|?*')
    return kept.strip(" .")[:_STEM_LENGTH] or "transcript"


def error_response(scope: Scope, error: TranscriptionError) -> Response:
    """The response to an error before routing, in the format that clients of the path read."""
    return enveloped(error) if _is_openai(scope) else problem_of(Request(scope), error)


def plain_error_response(scope: Scope, status: int, detail: str) -> Response:
    """The response to a request that violates HTTP, before routing."""
    if _is_openai(scope):
        return enveloped(ApiError(status, detail))
    phrase = PHRASES[status]
    return Problem(Request(scope), status, phrase.lower().replace(" ", "_"), phrase, detail)


async def send_early(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response although the request's body, if there is one, was not read."""
    names = {name for name, _ in scope["headers"]}
    scope[BODY_UNREAD] = bool(names & {b"content-length", b"transfer-encoding"})
    await response(scope, receive, send)


def _is_openai(scope: Scope) -> bool:
    return f"{scope['path']}/".startswith("/v1/")


_IPV6_PREFIX = 64  # what a provider gives to one customer


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address, one of IPv4 within IPv6 as IPv4; None where the text is not one."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_key(peer: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of IPv6 that one customer has."""
    address = read_address(peer)
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return str(IPv6Network((address, _IPV6_PREFIX), strict=False))
    return str(address or "unknown")


TENANT_THREADS = 8  # a fourth of all: one slow tenant leaves room for others
THREADS = 32


class ProbeLimiter:
    """
    Limits the threads that examine untrusted input, per tenant and in all; more calls wait.

    The sender decides how long a call takes: its name server need not answer, and its recording
    may keep a decoder busy up to the limits. In the threads that all requests share, a few dozen
    such calls of one tenant would block everyone.
    """

    def __init__(self) -> None:
        self._tenants = defaultdict[str, CapacityLimiter](lambda: CapacityLimiter(TENANT_THREADS))
        self._all = CapacityLimiter(THREADS)

    async def run(self, tenant: str, call: Callable[[], T]) -> T:
        """Call in a thread once the tenant has one free, and return or raise what it does."""
        async with self._tenants[tenant]:
            return await run_sync(call, limiter=self._all)


async def run_limited(
    request: Request, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call what examines input of this request; raises what the call raises."""
    limiter: ProbeLimiter = request.app.state.probe_limiter
    return await limiter.run(request.state.caller.tenant, partial(call, *args, **kwargs))
