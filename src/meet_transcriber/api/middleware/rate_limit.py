"""Rate limits over HTTP by address and by key, and their RateLimit headers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.api.http import send_error
from meet_transcriber.core.errors import RateLimited
from meet_transcriber.ports.auth import FAILED_AUTH, NOT_COUNTED, Count, Counted, RateLimiter

_COUNTED = "meet_transcriber.counted"
"""Key of an ASGI scope: the id of the API key that was counted, and what counting it found."""
_EXPECTED = "meet_transcriber.expected"
"""Key of an ASGI scope: the same, counted before it is known whether the key is valid."""

_IPV6_PREFIX = 64  # what a provider gives to one customer


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address, one of IPv4 within IPv6 as IPv4; None where the text is not one."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(1000)
def client_key(peer: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of IPv6 that one customer has."""
    address = read_address(peer)
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return str(IPv6Network((address, _IPV6_PREFIX), strict=False))
    return str(address or "unknown")


async def count_key(request: Request, key_id: str) -> None:
    """
    Count a request against its API key; without a key nothing is counted.

    Raises:
        RateLimited: the key's limit is exceeded, or its address has tried too many wrong keys.
    """
    limiter: RateLimiter = request.app.state.limiter
    if key_id and not limiter.off:
        scope = request.scope
        expected, counted = scope.pop(_EXPECTED, ("", NOT_COUNTED))
        if expected != key_id:
            counted = await limiter.count_key(key_id, _client(scope), _is_submission(scope))
        scope[_COUNTED] = key_id, counted
        _check(counted.counts)


def known_mark(request: Request) -> int | None:
    """`JobStore.mark` when the request's key was counted; None if it is not known."""
    return _counted(request.scope)[1].mark


def _counted(scope: Scope) -> tuple[str, Counted]:
    """The id of the key that was counted for a request, and what was found; without, empty."""
    counted: tuple[str, Counted] = scope.get(_COUNTED, ("", NOT_COUNTED))
    return counted


def _client(scope: Scope) -> str:
    return client_key((scope.get("client") or ("", 0))[0])


def _check(counts: Iterable[Count]) -> None:
    """Raise RateLimited where one of the limits is exceeded."""
    if (error := _problem(counts)) is not None:
        raise error


def _problem(counts: Iterable[Count]) -> RateLimited | None:
    """The error of the first limit that is exceeded."""
    count = next((count for count in counts if not count.allowed), None)
    if count is None:
        return None
    setting, what = "RATE_LIMIT", "requests"
    if count.policy == FAILED_AUTH:
        setting, what = "RATE_LIMIT_FAILED_AUTH", "wrong API keys"
    elif count.policy.endswith("-submit"):
        setting = "RATE_LIMIT_SUBMIT"
    return RateLimited(
        f"More than {count.rate.amount} {what} in {count.rate.seconds} seconds, the limit set by "
        f"{setting}; try again in {count.reset_seconds} seconds.",
        count.reset_seconds,
    )


def _is_submission(scope: Scope) -> bool:
    """Whether a request starts work."""
    path: str = scope["path"].rstrip("/")
    makes = path in {"/transcribe", "/uploads", "/voices"} or path.endswith("/rerun")
    return scope["method"] == "POST" and (makes or path.startswith("/v1/audio"))


_KEYS = frozenset({b"authorization", b"x-api-key"})
_CREDENTIALS = _KEYS | {b"cookie"}


def _has(scope: Scope, headers: Set[bytes]) -> bool:
    return any(name in headers for name, _ in scope["headers"])


def _has_key_attempt(scope: Scope) -> bool:
    """Whether a request tried a key; a missing key or an expired session is no attempt."""
    signs_in = scope["path"] == "/session" and scope["method"] == "POST"
    return signs_in or _has(scope, _KEYS)


def _limit_headers(counts: Sequence[Count]) -> Iterator[tuple[bytes, bytes]]:
    """The headers of draft-ietf-httpapi-ratelimit-headers-10."""
    if counts:
        policies = [f'"{c.policy}";q={c.rate.amount};w={c.rate.seconds}' for c in counts]
        states = [f'"{c.policy}";r={c.remaining};t={c.reset_seconds}' for c in counts]
        yield b"ratelimit-policy", ", ".join(policies).encode()
        yield b"ratelimit", ", ".join(states).encode()


_MOST_KEYS = 10_000


def _request_hash(scope: Scope) -> int:
    """Tells requests with other credentials or another path apart; salted by Python."""
    credentials = [pair for pair in scope["headers"] if pair[0] in _CREDENTIALS]
    return hash((scope["method"], scope["path"], *credentials))


PROBES = ("/health", "/health/ready")
"""Not limited without credentials: an orchestrator may share its address with all clients."""


class AddressLimitMiddleware:
    """
    Middleware: limits requests and failed authentications of one address.

    Where the same request with the same credentials came before, as when a client polls, it also
    counts the key of that time, so that both take one round trip. `count_key` takes this count
    if the key turns out to be valid still.
    """

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter
        self._keys: dict[int, str] = {}
        """Hash of a request -> id of the key that was counted for it; the latest ones."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["path"] in PROBES and not _has(scope, _CREDENTIALS)):
            await self._app(scope, receive, send)
            return
        client, same = _client(scope), _request_hash(scope)
        key_id, submits = self._keys.get(same, ""), _is_submission(scope)
        counted, of_key = await self._limiter.count_address(client, submits, key_id)
        if of_key is not None:
            scope[_EXPECTED] = key_id, of_key
        error: RateLimited | None = None

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = [*counted.counts, *_counted(scope)[1].counts]
                message["headers"] = [*message["headers"], *_limit_headers(known)]
            await send(message)

        async def send_counted(message: Message) -> None:
            nonlocal error
            unauthorized = message.get("status") == HTTPStatus.UNAUTHORIZED
            if unauthorized and _has_key_attempt(scope):
                error = _problem((await self._limiter.count_failure(client)).counts)
            if error is None:
                await send_with_headers(message)

        if (error := _problem(counted.counts)) is None:
            await self._app(scope, receive, send_counted)
            self._remember(same, _counted(scope)[0])
        if error is not None:
            await send_error(error, scope, receive, send_with_headers)

    def _remember(self, same: int, key_id: str) -> None:
        if key_id and same not in self._keys:
            self._keys[same] = key_id
            if len(self._keys) > _MOST_KEYS:
                del self._keys[next(iter(self._keys))]


# -- large answers -------------------------------------------------------------------------------

PIECE_BYTES = 256 << 10
TENANT_ANSWER_BYTES, ANSWER_BYTES = 128 << 20, 384 << 20
"""Large answers that a process holds while their clients read them, of one tenant and in all."""
_ANSWER_SECONDS = 5.0


class AnswerLimitMiddleware:
    """
    Middleware: sends large answers in pieces, and only so many bytes of them at once.

    A client may take a minute for each piece, and its answer, of up to tens of megabytes, is held
    for so long. A tenant may always have one.
    """

    def __init__(
        self, app: ASGIApp, share: int = TENANT_ANSWER_BYTES, most: int = ANSWER_BYTES
    ) -> None:
        self._app = app
        self._share, self._most = share, most
        self._held = Counter[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None

        async def send_limited(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            begin, start = start, None
            if len(message.get("body", b"")) <= PIECE_BYTES:
                if begin is not None:
                    await send(begin)
                await send(message)
            elif begin is None:  # one of several pieces
                await _send_in_pieces(message, send)
            else:
                await self._send_large(scope, receive, send, begin, message)

        await self._app(scope, receive, send_limited)

    async def _send_large(
        self, scope: Scope, receive: Receive, send: Send, begin: Message, message: Message
    ) -> None:
        caller = scope.get("state", {}).get("caller")
        tenant, size = caller.tenant if caller else "", len(message["body"])
        held = self._held[tenant]
        if held and (held + size > self._share or self._held.total() + size > self._most):
            text = "Large answers to you are still being sent; read them, and try again."
            await send_error(RateLimited(text, _ANSWER_SECONDS), scope, receive, send)
            return
        self._held[tenant] += size
        try:
            await send(begin)
            await _send_in_pieces(message, send)
        finally:
            self._held[tenant] -= size
            if not self._held[tenant]:
                del self._held[tenant]


async def _send_in_pieces(message: Message, send: Send) -> None:
    """Send a body; the server takes a piece when the client has read the one before."""
    body = memoryview(message["body"])
    for at in range(0, len(body), PIECE_BYTES):
        piece = bytes(body[at : at + PIECE_BYTES])
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({**message, "body": b""})
