"""Who calls, where trusted proxies stand before the API (X-Forwarded-For, RFC 7239)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from meet_transcriber.core.errors import InvalidOptions

Address = IPv4Address | IPv6Address

_PAIR = re.compile(r'\s*([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]*))\s*')
_SCHEMES = ("http", "https")
_SIX_PREFIX = 64
_MOST_HOPS = 64


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, as far as somebody trusted says so.

    Attributes:
        scheme: how the client spoke to the outermost proxy; None where nobody said.
    """

    address: str
    scheme: str | None = None


class Proxies:
    """The proxies whose word counts: addresses and networks."""

    def __init__(self, trusted: Iterable[str]) -> None:
        """
        Raises:
            InvalidOptions: an entry is neither an address nor a network.
        """
        try:
            self._networks = [ip_network(entry, strict=False) for entry in trusted]
        except ValueError as error:
            raise InvalidOptions(
                f"TRUSTED_PROXIES is not usable: {error}. List addresses and networks with commas, "
                "such as 10.0.0.0/8,::1."
            ) from error

    def trusts(self, peer: str) -> bool:
        """Whether an address is one of the proxies."""
        address = read_address(peer) if self._networks else None
        return address is not None and any(address in network for network in self._networks)

    def origin(self, peer: str, headers: Sequence[tuple[str, str]]) -> Origin:
        """
        The client behind a peer: the rightmost hop that is no proxy of ours.

        Headers of a peer that is not trusted mean nothing. X-Forwarded-For wins over Forwarded,
        because a proxy that knows only one of them hands the other through as it came.

        Args:
            headers: names in lower case, and values, in order.
        """
        if not self.trusts(peer):
            return Origin(peer)
        plain = _items(headers, "x-forwarded-for")
        if plain:
            schemes = _items(headers, "x-forwarded-proto")
            return Origin(self._client(peer, plain), _scheme(schemes[-1] if schemes else None))
        hops = [_pairs(item) for item in _items(headers, "forwarded")]
        address = self._client(peer, [hop.get("for", "") for hop in hops])
        return Origin(address, _scheme(hops[-1].get("proto") if hops else None))

    def _client(self, peer: str, hops: Sequence[str]) -> str:
        client = peer
        for hop in list(reversed(hops))[:_MOST_HOPS]:
            address = read_address(_without_port(hop))
            if address is None:  # what is no address was not seen by anybody: the last known counts
                return client
            client = str(address)
            if not self.trusts(client):
                return client
        return client


def read_address(text: str) -> Address | None:
    """An IP address, one of IPv4 within IPv6 as IPv4; None where it is none."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_key(peer: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of IPv6 that one customer has."""
    address = read_address(peer)
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return str(IPv6Network((address, _SIX_PREFIX), strict=False))
    return str(address or "unknown")


def _items(headers: Sequence[tuple[str, str]], name: str) -> list[str]:
    values = ",".join(value for each, value in headers if each == name)
    return [item.strip() for item in values.split(",") if item.strip()]


def _pairs(item: str) -> dict[str, str]:
    found = _PAIR.findall(item)
    return {name.lower(): quoted or plain for name, quoted, plain in found}


def _without_port(hop: str) -> str:
    hop = hop.strip().strip('"')
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _scheme(text: str | None) -> str | None:
    text = (text or "").strip().lower()
    return text if text in _SCHEMES else None


PEER = "meet_transcriber.peer"
"""Key of an ASGI scope: the address that the connection really came from, else empty."""

_FORWARDED = (
    "cdn-loop",
    "cf-",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "front-end-https",
    "proxy-",
    "true-client-ip",
    "via",
    "wl-proxy-",
    "x-amz-cf-",
    "x-amzn-",
    "x-appengine-",
    "x-arr-",
    "x-azure-",
    "x-client-ip",
    "x-cloud-trace-context",
    "x-cluster-client-ip",
    "x-envoy-",
    "x-forward",
    "x-host",
    "x-origin",
    "x-proxy",
    "x-real-ip",
    "x-remote-",
    "x-scheme",
)
"""How the names of headers begin that only a proxy or somebody who plays one sends."""


class ProxyHeadersMiddleware:
    """Middleware: the scope tells of the client behind a proxy, where that proxy is believed."""

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope.get("client") or ("", 0)
            scope[PEER] = client[0]
            if self._proxies.trusts(client[0]):
                whence = self._proxies.origin(client[0], list(headers(scope)))
                scope["client"] = (whence.address, 0)
                scope["scheme"] = whence.scheme or scope["scheme"]
        await self._app(scope, receive, send)


def headers(scope: Scope) -> Iterator[tuple[str, str]]:
    """The headers of a request as text, names in lower case."""
    return ((name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in scope["headers"])  # fmt: skip


def non_local_reason(scope: Scope) -> str | None:
    """
    Why a request may come from elsewhere than this machine; None when it does not.

    A proxy that hands a stranger's request on, and a name of the stranger's that leads to
    127.0.0.1 (DNS rebinding), are told by what they send.
    """
    if not _is_loopback(scope.get(PEER, (scope.get("client") or ("", 0))[0])):
        return "it does not come from this machine"
    for name, _ in headers(scope):
        if name.startswith(_FORWARDED):
            return f"a proxy handed it on ({name})"
    if scope["http_version"] == "1.0":  # nginx, which adds nothing of its own accord
        return "a proxy seems to have handed it on (HTTP/1.0)"
    hosts = [value for name, value in headers(scope) if name == "host"]
    if len(hosts) != 1 or not _is_here(host_name(hosts[0])):
        return "its Host is not 127.0.0.1, localhost or [::1]"
    return None


def host_name(host: str) -> str:
    """The name in a Host header, without its port; empty where it is no such header."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - a port that is none raises
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path else (parts.hostname or "")


def _is_here(name: str) -> bool:
    """No name but one: what a name leads to is for others to say, an address is not."""
    return name == "localhost" or _is_loopback(name)


def _is_loopback(peer: str) -> bool:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
