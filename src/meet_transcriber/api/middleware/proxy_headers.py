"""The client behind trusted proxies (X-Forwarded-For, RFC 7239), and whether it is this machine."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware as UvicornProxyHeaders

from meet_transcriber.api.middleware.rate_limit import read_address
from meet_transcriber.core.errors import InvalidOptions

Network = IPv4Network | IPv6Network
Headers = Sequence[tuple[bytes, bytes]]

PEER = "meet_transcriber.peer"
"""Key of an ASGI scope: the address at the other end of the connection, else empty."""

_MAPPED_PREFIX = 96
_MOST_HOPS = 64
"""From the nearest on: they are read on the event loop, before any rate limit."""


class TrustedProxies:
    """The addresses and networks of proxies whose headers are believed."""

    def __init__(self, entries: Iterable[str]) -> None:
        """
        Raises:
            InvalidOptions: an entry is neither an address nor a network.
        """
        try:
            given = [ip_network(entry, strict=False) for entry in entries]
        except ValueError as error:
            raise InvalidOptions(
                f"TRUSTED_PROXIES is not usable: {error}. List addresses and networks with commas, "
                "such as 10.0.0.0/8,::1."
            ) from error
        # A socket that listens on IPv6 shows the IPv4 address of a proxy within IPv6.
        self.networks: list[Network] = [*given, *map(_mapped, given)]

    def trusts(self, peer: str) -> bool:
        """Whether an address is one of the proxies."""
        address = read_address(peer) if self.networks else None
        return address is not None and any(address in network for network in self.networks)


class ProxyHeadersMiddleware:
    """
    Sets client and scheme of a request that came through trusted proxies, as uvicorn's
    middleware of this name does: the rightmost hop that is no trusted proxy is the client.

    Beyond that it reads RFC 7239's Forwarded, and ignores what is not an address.
    """

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = app
        self._trusts = proxies.trusts
        self._resolve = UvicornProxyHeaders(_nothing, list(map(str, proxies.networks)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[PEER] = (scope.get("client") or ("", 0))[0]
            if self._trusts(scope[PEER]):
                found = {**scope, "headers": _x_forwarded(scope["headers"])}
                await self._resolve(found, receive, send)  # type: ignore[arg-type]
                scope["scheme"] = found["scheme"]
                if address := read_address(found["client"][0]):
                    scope["client"] = (str(address), 0)
        await self._app(scope, receive, send)


async def _nothing(*_request: object) -> None:
    """Stand in for the application where uvicorn's middleware only fills in a scope."""


def _mapped(network: Network) -> Network:
    if isinstance(network, IPv6Network):
        return network
    prefix = _MAPPED_PREFIX + network.prefixlen
    return IPv6Network(f"::ffff:{network.network_address}/{prefix}")


def _x_forwarded(headers: Headers) -> Headers:
    """
    X-Forwarded-For and -Proto, made of Forwarded where the former is missing.

    X-Forwarded-For wins, because a proxy that knows only one of them passes the other on as the
    client sent it.
    """
    hops = _items(headers, b"x-forwarded-for")
    schemes = _items(headers, b"x-forwarded-proto")
    if not hops and (items := _items(headers, b"forwarded")):
        pairs = [_pairs(item) for item in items]
        hops = [hop.get("for", "") for hop in pairs]
        schemes = [hop.get("proto", "") for hop in pairs]
    scheme = schemes[-1].lower() if schemes else ""  # what the nearest proxy saw
    made = [(b"x-forwarded-for", ", ".join(hops).encode("latin-1"))]
    if scheme in {"http", "https"}:
        made.append((b"x-forwarded-proto", scheme.encode()))
    return made


def _items(headers: Headers, name: bytes) -> list[str]:
    values = b",".join(value for each, value in headers if each == name).decode("latin-1")
    last = values.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
    return [item.strip() for item in last if item.strip()]


def _pairs(item: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in item.split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


# -- AUTH_MODE=loopback ------------------------------------------------------------------------

_FORWARDED = (
    "cdn-loop", "cf-", "client-ip", "fastly-client-ip", "fly-client-ip", "forwarded",
    "front-end-https", "proxy-", "true-client-ip", "via", "wl-proxy-", "x-amz-cf-", "x-amzn-",
    "x-appengine-", "x-arr-", "x-azure-", "x-client-ip", "x-cloud-trace-context",
    "x-cluster-client-ip", "x-envoy-", "x-forward", "x-host", "x-origin", "x-proxy",
    "x-real-ip", "x-remote-", "x-scheme",
)  # fmt: skip
"""Prefixes of the names of headers that only a proxy, or someone who imitates one, sends."""


def non_local_reason(scope: Scope) -> str | None:
    """
    Why a request may come from elsewhere than this machine; None when it does not.

    The headers reveal a proxy that forwards a remote request, and a foreign host name that
    resolves to 127.0.0.1 (DNS rebinding).
    """
    if not _is_loopback(scope.get(PEER, (scope.get("client") or ("", 0))[0])):
        return "it does not come from this machine"
    names = [name.decode("latin-1").lower() for name, _ in scope["headers"]]
    if proxied := next((name for name in names if name.startswith(_FORWARDED)), None):
        return f"a proxy forwarded it ({proxied})"
    if scope["http_version"] in {"0.9", "1.0"}:  # nginx, which adds no headers unless configured
        return f"a proxy seems to have forwarded it (HTTP/{scope['http_version']})"
    if not _is_here(requested_host(scope)):
        return "its Host is not 127.0.0.1, localhost or [::1]"
    return None


_HOST = re.compile(r"(?:([A-Za-z0-9._-]+)|\[([0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?")


def host_name(host: str) -> str:
    """The name in a Host header, without its port; empty where the header is malformed."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def requested_host(scope: Scope) -> str:
    """The name in the Host header of a request; empty without a valid one."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return host_name(hosts[0]) if len(hosts) == 1 else ""


def _is_here(name: str) -> bool:
    """Only these names: others decide what any other name resolves to."""
    return name == "localhost" or _is_loopback(name)


def _is_loopback(peer: str) -> bool:
    address = read_address(peer)
    return address is not None and address.is_loopback
