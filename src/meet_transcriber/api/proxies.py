"""Who really asks, where proxies of one's own stand before the API (X-Forwarded-For, RFC 7239)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

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


def household(peer: str) -> str:
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
