"""Decides which addresses named by clients this service may connect to.

Three checks, because any one of them can be bypassed: the URL is parsed strictly (unusual spellings
of IP addresses, user names and metadata hosts are refused); every address of its host is checked
(one forbidden address refuses the host, so the order of DNS answers does not matter); and
`http_client.py` resolves once per connection and connects to the address that it checked, which
defeats DNS rebinding.
"""

import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from meet_transcriber.core.errors import AddressRefused, FetchError, InvalidOptions

Resolver = Callable[[str, int], Sequence[str]]
"""(host, port) -> IP addresses in the order to try; OSError when there are none."""

_MAX_CHARACTERS = 8192
_URL = re.compile(r"https?://(?P<authority>[^/?#]*)", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@%\\\s]+)(:(?P<port>[0-9]{0,5}))?")
_MAX_PORT = 65_535


def system_resolver(host: str, port: int) -> list[str]:
    """Resolve with the system, whose own limits (resolv.conf) bound the time."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _malformed(reason: str) -> AddressRefused:
    return AddressRefused(
        f"The address is refused: {reason}. Give it as https://host/path, with a port if needed."
    )


def _forbidden(host: str, kind: str) -> AddressRefused:
    return AddressRefused(
        f"{host} is refused: it resolves to {kind} address, and only public ones are allowed. "
        "An operator can allow it with OUTBOUND_ALLOW."
    )


def _check_authority(url: str) -> None:
    """Refuse what URL parsers disagree on, before one of them parses it."""
    found = _URL.match(url)
    if found is None:
        raise _malformed("only http and https are supported")
    if len(url) > _MAX_CHARACTERS:
        raise _malformed(f"it has more than {_MAX_CHARACTERS} characters")
    if "@" in found["authority"]:
        raise _malformed("it contains a user name or a password")
    authority = _AUTHORITY.fullmatch(found["authority"])
    if authority is None:
        raise _malformed("its host or port cannot be parsed")
    if authority["port"] and not 0 < int(authority["port"]) <= _MAX_PORT:
        raise _malformed(f"its port is not one of 1 to {_MAX_PORT}")


class AddressGuard:
    """
    Allows public addresses and those in `allow`, and refuses all others.

    `allow` has host names, `*.suffix`, IP addresses and networks, as in OUTBOUND_ALLOW. Raises
    InvalidOptions if one is malformed.
    """

    def __init__(self, allow: Sequence[str] = (), resolver: Resolver = system_resolver) -> None:
        self._allow = AllowList.of(allow)
        self._resolver = resolver

    def parse(self, url: str) -> httpx.URL:
        """
        Parse an address without network access, and remove a trailing dot of its host.

        Raises AddressRefused if it is malformed, or its host is refused whatever it resolves to.
        """
        url = url.strip()
        _check_authority(url)
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise _malformed("it cannot be parsed") from error
        host = parsed.raw_host.decode("ascii").removesuffix(".")
        self._check_host(host)
        return parsed.copy_with(host=host, fragment=None)

    def check(self, url: str) -> None:
        """Check an address; raises AddressRefused, or FetchError if its host does not resolve."""
        parsed = self.parse(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        self.resolve(parsed.raw_host.decode("ascii"), port)

    def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of `host`; raises AddressRefused if one is forbidden, FetchError."""
        self._check_host(host)
        # An address needs no resolver, which could answer something else for it.
        found = [host] if address_of(host) is not None else self._look_up(host, port)
        # All of them, as the connection may use any.
        for text in found:
            self._check_address(host, text)
        return found

    def _look_up(self, host: str, port: int) -> list[str]:
        message = f"{host} was not found; check its spelling and DNS."
        try:
            found = list(self._resolver(host, port))
        except (OSError, UnicodeError) as error:  # getaddrinfo's IDNA raises UnicodeError
            raise FetchError(message) from error
        if not found:
            raise FetchError(message)
        return found

    def _check_host(self, host: str) -> None:
        if address_of(host) is not None:
            self._check_address(host, host)
        elif not is_host_name(host):
            raise _malformed("its host is neither a name nor an IP address in its usual form")
        elif host in _METADATA_NAMES:
            raise _forbidden(host, "a cloud's metadata")

    def _check_address(self, host: str, text: str) -> None:
        address = address_of(text)
        kind = "an unreadable" if address is None else self._allow.refusal(host, address)
        if kind is not None:
            raise _forbidden(host, kind)


# -- addresses and names -------------------------------------------------------------------------

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# From IANA's special-purpose address registries (RFC 6890 and its updates), as those of Python's
# `ipaddress` differ between versions.
_SPECIAL: dict[Network, str] = {
    ip_network(network): kind
    for kind, networks in {
        "an unspecified": "0.0.0.0/8",
        "a private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
        "a carrier's (CGNAT)": "100.64.0.0/10",
        "a loopback": "127.0.0.0/8",
        "a link-local": "169.254.0.0/16",
        "a special-purpose": "192.0.0.0/24 192.52.193.0/24 2001::/23",
        "a documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
        "a 6to4": "192.88.99.0/24 2002::/16",
        "a benchmarking": "198.18.0.0/15",
        "a multicast": "224.0.0.0/4",
        "a reserved": "240.0.0.0/4",
    }.items()
    for network in networks.split()
}
# Where clouds serve credentials, also outside the special ranges (Azure: 168.63.129.16).
_METADATA: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in (
        "169.254.0.0/16",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
    )
)
_METADATA_NAMES = frozenset(
    {
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.tencentyun.com",
    }
)
_UNICAST = IPv6Network("2000::/3")  # all public addresses of IPv6 so far
_NAT64 = IPv6Network("64:ff9b::/96")
_LABEL = "(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NOT_IN_NAMES = frozenset(":/?#@%*[]\\ ")


def unwrapped(address: Address) -> Address:
    """The IPv4 address behind an IPv4-mapped or NAT64 address; others unchanged."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def special_kind(address: Address) -> str | None:
    """Why an address is not public, such as "a private"; None when it is public."""
    address = unwrapped(address)
    if any(address in network for network in _METADATA):
        return "a cloud's metadata"
    for network, kind in _SPECIAL.items():
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return "a non-public"
    return None


def address_of(text: str) -> Address | None:
    """Parse a canonical IP address; None for anything else, scoped addresses included."""
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def is_host_name(host: str) -> bool:
    """
    Whether a host, in lower case and ASCII, is a name and not a number.

    The last label decides, as in the WHATWG URL standard: `127.1`, `2130706433` and `0x7f.1`
    are IPv4 addresses to many resolvers.
    """
    return bool(_HOST.fullmatch(host)) and not _NUMBER.fullmatch(host.rpartition(".")[2])


# -- the allow-list ------------------------------------------------------------------------------


@dataclass(frozen=True)
class AllowList:
    """
    What an operator allows besides public addresses.

    A name (`wiki.corp`) or pattern (`*.corp`, every name below `corp`) may resolve to any address
    but a metadata one. An IP address or network is allowed under every name. A metadata address
    is allowed only by an entry that is no wider than it.
    """

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[str]) -> "AllowList":
        """Parse the entries of OUTBOUND_ALLOW, skipping empty ones; raises InvalidOptions."""
        texts = [text for entry in entries if (text := entry.strip().lower())]
        found = {text: _network(text) for text in texts}
        names = [text for text, network in found.items() if network is None]
        return cls(
            names=frozenset(_name(text) for text in names if not text.startswith("*.")),
            suffixes=tuple(f".{_name(text[2:])}" for text in names if text.startswith("*.")),
            networks=tuple(network for network in found.values() if network is not None),
        )

    def refusal(self, host: str, address: Address) -> str | None:
        """Why `address`, reached as `host`, is refused; None when it is allowed."""
        reached = unwrapped(address)
        allowed = [network for network in self.networks if reached in network]
        narrowest = max((network.prefixlen for network in allowed), default=-1)
        # networks that share an address are nested: the one with the longer prefix is inside
        if any(reached in each and narrowest < each.prefixlen for each in _METADATA):
            return "a cloud's metadata"
        if allowed or host in self.names or host.endswith(self.suffixes):
            return None
        return special_kind(reached)


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry.removeprefix("[").removesuffix("]"), strict=False)
    except ValueError:
        return None


def _name(entry: str) -> str:
    """A host name as used in requests (IDNA)."""
    text, host = entry.removesuffix("."), ""
    with suppress(httpx.InvalidURL):
        host = httpx.URL(f"http://{text}").raw_host.decode("ascii")
    if _NOT_IN_NAMES & set(text) or not is_host_name(host):
        raise InvalidOptions(
            f"OUTBOUND_ALLOW contains {entry!r}, which is not a host name, *.suffix, IP address or "
            "network; write for example wiki.corp, *.corp, 10.1.2.3 or 10.0.0.0/8."
        )
    return host
