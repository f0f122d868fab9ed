"""The address guard: where this service may connect to when somebody else names the address.

Three checks, because any one of them can be fooled: the URL is read (odd spellings of IP
addresses, user names and metadata hosts end here), every address that its name resolves to is
looked at (one forbidden address refuses the host, so the order of an answer decides nothing),
and `transport.py` resolves once for each connection and connects to the address it checked,
so that a name that changes its mind in between (DNS rebinding) gains nothing.
"""

import re
import socket
from collections.abc import Callable, Sequence

import httpx

from meet_transcriber.core.errors import AddressRefused, FetchError
from meet_transcriber.outbound.networks import AllowList, address_of, is_host_name, is_metadata_name

Resolver = Callable[[str, int], Sequence[str]]
"""(host, port) -> IP addresses in the order to try; OSError when there are none."""

_MOST_CHARACTERS = 8192
_URL = re.compile(r"https?://(?P<authority>[^/?#]*)", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@%\\\s]+)(:(?P<port>[0-9]{0,5}))?")
_HIGHEST_PORT = 65_535


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the system; its own limits (resolv.conf) bound how long that takes."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _malformed(reason: str) -> AddressRefused:
    return AddressRefused(
        f"The address is refused: {reason}. Give it as https://host/path, with a port if needed."
    )


def _forbidden(host: str, kind: str) -> AddressRefused:
    return AddressRefused(
        f"{host} is refused: it leads to {kind} address, and this service connects to public "
        "ones only. An operator who wants it reachable names it in OUTBOUND_ALLOW."
    )


def _not_found(host: str) -> FetchError:
    return FetchError(f"{host} was not found; check its spelling and the name service.")


def _read_authority(url: str) -> None:
    """Refuse what URL readers disagree on, before one of them reads it."""
    found = _URL.match(url)
    if found is None:
        raise _malformed("only http and https addresses are used")
    if len(url) > _MOST_CHARACTERS:
        raise _malformed(f"it has more than {_MOST_CHARACTERS} characters")
    if "@" in found["authority"]:
        raise _malformed("it holds a user name or a password")
    authority = _AUTHORITY.fullmatch(found["authority"])
    if authority is None:
        raise _malformed("its host or port cannot be read")
    if authority["port"] and not 0 < int(authority["port"]) <= _HIGHEST_PORT:
        raise _malformed(f"its port is not one of 1 to {_HIGHEST_PORT}")


def _read_url(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _malformed("it cannot be read") from error


class AddressGuard:
    """Decides on addresses: public ones and those in `allow` pass, others are refused."""

    def __init__(self, allow: Sequence[str] = (), resolver: Resolver = system_resolver) -> None:
        """
        Read the allow-list.

        Args:
            allow: OUTBOUND_ALLOW: host names, `*.suffix`, IP addresses and networks.
            resolver: what turns names into addresses.

        Raises:
            InvalidOptions: an entry of `allow` cannot be read.
        """
        self._allow = AllowList.of(allow)
        self._resolver = resolver

    def parse(self, url: str) -> httpx.URL:
        """
        Read an address without asking the network; a dot at the end of its host is dropped.

        Raises:
            AddressRefused: it is malformed, or its host is refused whatever it resolves to.
        """
        url = url.strip()
        _read_authority(url)
        parsed = _read_url(url)
        host = parsed.raw_host.decode("ascii").removesuffix(".")
        self._check_host(host)
        return parsed.copy_with(host=host, fragment=None)

    def check(self, url: str) -> None:
        """
        Say early, before anything is stored or connected, whether an address is refused.

        Raises:
            AddressRefused: it is malformed or leads to a forbidden address.
            FetchError: its host has no address at the moment.
        """
        parsed = self.parse(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        self.resolve(parsed.raw_host.decode("ascii"), port)

    def resolve(self, host: str, port: int) -> list[str]:
        """
        Return the addresses of `host`, every one of them allowed.

        Raises:
            AddressRefused: one of them is forbidden.
            FetchError: there are none at the moment.
        """
        self._check_host(host)
        found = [host] if address_of(host) is not None else self._look_up(host, port)
        for text in found:
            self._check_address(host, text)
        return found

    def _look_up(self, host: str, port: int) -> list[str]:
        try:
            found = list(self._resolver(host, port))
        except (OSError, UnicodeError) as error:  # getaddrinfo's IDNA raises UnicodeError
            raise _not_found(host) from error
        if not found:
            raise _not_found(host)
        return found

    def _check_host(self, host: str) -> None:
        if address_of(host) is not None:
            self._check_address(host, host)
        elif not is_host_name(host):
            raise _malformed("its host is neither a name nor a plainly written IP address")
        elif is_metadata_name(host):
            raise _forbidden(host, "a cloud's metadata")

    def _check_address(self, host: str, text: str) -> None:
        address = address_of(text)
        kind = "an unreadable" if address is None else self._allow.refusal(host, address)
        if kind is not None:
            raise _forbidden(host, kind)
