"""Public IP addresses, and the allow-list of others.

The tables follow IANA's special-purpose address registries (RFC 6890 and its updates). They are
listed here because Python's `ipaddress` differs between versions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from meet_transcriber.core.errors import InvalidOptions

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

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


def is_metadata_name(host: str) -> bool:
    """Whether clouds serve credentials under this host name."""
    return host in _METADATA_NAMES


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry.removeprefix("[").removesuffix("]"), strict=False)
    except ValueError:
        return None


def _as_requested(name: str) -> str:
    """A host name as used in requests (IDNA); empty where malformed."""
    try:
        return httpx.URL(f"http://{name}").raw_host.decode("ascii")
    except httpx.InvalidURL:
        return ""


def _name(entry: str) -> str:
    text = entry.removesuffix(".")
    host = "" if _NOT_IN_NAMES & set(text) else _as_requested(text)
    if not is_host_name(host):
        raise InvalidOptions(
            f"OUTBOUND_ALLOW contains {entry!r}, which is not a host name, *.suffix, IP address or "
            "network; write for example wiki.corp, *.corp, 10.1.2.3 or 10.0.0.0/8."
        )
    return host


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
        """
        Parse the entries of OUTBOUND_ALLOW; empty ones are skipped.

        Raises:
            InvalidOptions: an entry is malformed.
        """
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
        for metadata in _METADATA:
            if reached in metadata and not any(_within(network, metadata) for network in allowed):
                return "a cloud's metadata"
        if allowed or host in self.names or host.endswith(self.suffixes):
            return None
        return special_kind(reached)


def _within(inner: Network, outer: Network) -> bool:
    """Whether `inner`, of the same family, is part of `outer`."""
    return inner.prefixlen >= outer.prefixlen and inner.network_address in outer
