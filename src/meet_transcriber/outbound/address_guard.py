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

import httpx

from meet_transcriber.core.errors import AddressRefused, FetchError
from meet_transcriber.outbound.networks import AllowList, address_of, is_host_name, is_metadata_name

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


def _not_found(host: str) -> FetchError:
    return FetchError(f"{host} was not found; check its spelling and DNS.")


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


def _parse_url(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _malformed("it cannot be parsed") from error


class AddressGuard:
    """Allows public addresses and those in `allow`, and refuses all others."""

    def __init__(self, allow: Sequence[str] = (), resolver: Resolver = system_resolver) -> None:
        """
        Args:
            allow: OUTBOUND_ALLOW: host names, `*.suffix`, IP addresses and networks.
            resolver: resolves host names.

        Raises:
            InvalidOptions: an entry of `allow` is malformed.
        """
        self._allow = AllowList.of(allow)
        self._resolver = resolver

    def parse(self, url: str) -> httpx.URL:
        """
        Parse an address without network access; removes a trailing dot of its host.

        Raises:
            AddressRefused: it is malformed, or its host is refused whatever it resolves to.
        """
        url = url.strip()
        _check_authority(url)
        parsed = _parse_url(url)
        host = parsed.raw_host.decode("ascii").removesuffix(".")
        self._check_host(host)
        return parsed.copy_with(host=host, fragment=None)

    def check(self, url: str) -> None:
        """
        Check an address before anything is stored or connected.

        Raises:
            AddressRefused: it is malformed or resolves to a forbidden address.
            FetchError: its host does not resolve.
        """
        parsed = self.parse(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        self.resolve(parsed.raw_host.decode("ascii"), port)

    def resolve(self, host: str, port: int) -> list[str]:
        """
        Return the addresses of `host`, every one of them allowed.

        Raises:
            AddressRefused: one of them is forbidden.
            FetchError: there are none.
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
            raise _malformed("its host is neither a name nor an IP address in its usual form")
        elif is_metadata_name(host):
            raise _forbidden(host, "a cloud's metadata")

    def _check_address(self, host: str, text: str) -> None:
        address = address_of(text)
        kind = "an unreadable" if address is None else self._allow.refusal(host, address)
        if kind is not None:
            raise _forbidden(host, kind)
