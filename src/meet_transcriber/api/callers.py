"""Where requests come from: proxies that are believed, and callers on this very machine."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from meet_transcriber.api.proxies import Proxies

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


class Callers:
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


def stranger(scope: Scope) -> str | None:
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
