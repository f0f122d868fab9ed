"""Downloads recordings over HTTP, within limits of size and time, and names them."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

import httpx

from meet_transcriber.core.errors import FetchError, UploadTooLarge
from meet_transcriber.outbound.address_guard import AddressGuard, Resolver, system_resolver
from meet_transcriber.outbound.http_client import (
    LEAST_BYTES_PER_SECOND,
    NETWORK_ERRORS,
    TIMEOUTS,
    WINDOW_SECONDS,
    Deadline,
    GuardedClient,
    TooSlow,
)

FALLBACK_NAME = "recording"
_MAX_NAME_BYTES = 200
_MAX_SUFFIX_BYTES = 16
_EXTENDED = re.compile(r"(?:^|;)\s*filename\*\s*=\s*([\w-]+)'[^']*'([^;\s]+)", re.IGNORECASE)
_QUOTED = re.compile(r'(?:^|;)\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_TOKEN = re.compile(r"(?:^|;)\s*filename\s*=\s*([^\s;\"]+)", re.IGNORECASE)


def file_name(disposition: str, url: httpx.URL) -> str:
    """
    The name of a download, without folders, control or formatting characters, at most 200 bytes.

    Args:
        disposition: the Content-Disposition header (RFC 6266), or empty.
        url: after redirects; its path is used without such a header.
    """
    path = url.raw_path.decode("ascii").partition("?")[0]
    named = (_disposition_name(disposition), unquote(path))
    return next((name for each in named if (name := _clean(each))), FALLBACK_NAME)


def _disposition_name(header: str) -> str:
    if extended := _EXTENDED.search(header):
        try:
            return unquote(extended[2], encoding=extended[1], errors="replace")
        except LookupError:
            return unquote(extended[2])
    if quoted := _QUOTED.search(header):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    token = _TOKEN.search(header)
    return token[1] if token else ""


def _clean(name: str) -> str:
    """The last part of a path, without characters that are special to shells or invisible."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    # category C: control, formatting (text direction), surrogate and unassigned characters
    visible = (char for char in last if char.isspace() or unicodedata.category(char)[0] != "C")
    text = re.sub(r'[<>:"|?*]', "_", "".join(visible))
    return _shorten(re.sub(r"\s+", " ", text).strip(" ."))


def _shorten(name: str) -> str:
    """Shorten the stem and keep the suffix."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        stem, dot, suffix = name, "", ""
    room = _MAX_NAME_BYTES - len(f"{dot}{suffix}".encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + dot + suffix


MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COMPRESSIONS = frozenset({"br", "compress", "deflate", "gzip", "x-compress", "x-gzip", "zstd"})
_MIB = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """A started download: its headers, and its bytes once."""

    name: str
    size: int | None
    _chunks: Iterator[bytes] = field(repr=False)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive, 64 KiB at most; raises UploadTooLarge, FetchError."""
        return self._chunks


class Fetcher:
    """
    Downloads over http and https, from allowed addresses, within limits of size and time.

    Certificate authorities in SSL_CERT_FILE, such as an intranet's, are trusted.

    Args:
        allow: OUTBOUND_ALLOW, as `AddressGuard` takes it; raises InvalidOptions if malformed.
        timeout_seconds: for the whole download, redirects included; DNS has its own limits.
        idle_seconds: limit on each wait while connecting or receiving.
        window_seconds: of receiving, over each of which the server has to keep its least speed.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        max_bytes: int,
        timeout_seconds: float = 3600,
        idle_seconds: float = 30,
        window_seconds: float = WINDOW_SECONDS,
        resolver: Resolver = system_resolver,
    ) -> None:
        self.guard = AddressGuard(allow, resolver)
        self._max_bytes = max_bytes
        self._timeout_seconds, self._idle_seconds = timeout_seconds, idle_seconds
        self._window_seconds = window_seconds
        self._ssl_context = httpx.create_ssl_context()

    def check(self, url: str) -> None:
        """Check an address before connecting; raises AddressRefused or FetchError."""
        self.guard.check(url)

    @contextmanager
    def fetch(self, url: str) -> Iterator[Fetched]:
        """
        Start a download: `with fetcher.fetch(url) as fetched: for chunk in fetched.chunks()`.

        No content encoding is requested or decoded.

        Raises:
            AddressRefused: the address, or one that it redirects to, is forbidden.
            FetchError: the server cannot be reached or does not return the recording.
            UploadTooLarge: the server announces more than `max_bytes`.
        """
        deadline = Deadline(self._timeout_seconds, self._window_seconds)
        client = GuardedClient(self.guard, deadline, self._ssl_context, self._idle_seconds)
        with client, self._follow(client, self.guard.parse(url), deadline) as response:
            yield self._begin(response, deadline)

    @contextmanager
    def _follow(
        self, client: GuardedClient, url: httpx.URL, deadline: Deadline
    ) -> Iterator[httpx.Response]:
        """Send the request and follow redirects, each checked like the first address."""
        for _ in range(MAX_REDIRECTS + 1):
            with ExitStack() as stack:
                with self._translated(url, deadline):
                    response = stack.enter_context(client.send("GET", url))
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    yield response
                    return
                try:
                    url = self.guard.parse(str(url.join(response.headers["location"])))
                except (httpx.InvalidURL, ValueError) as error:
                    raise FetchError(f"{url.host} redirects to a malformed address.") from error
        raise FetchError(
            f"{url.host} redirects more than {MAX_REDIRECTS} times; give the address where it ends."
        )

    def _begin(self, response: httpx.Response, deadline: Deadline) -> Fetched:
        """Check the status and headers of a response."""
        host, headers = response.url.host, response.headers
        if response.status_code != httpx.codes.OK:
            raise FetchError(
                f"{host} answered with status {response.status_code} instead of the recording; "
                "check that the address is complete, still valid and needs no login."
            )
        # Decoding it could turn a small answer into any number of bytes.
        if headers.get("content-encoding", "").strip().lower() in _COMPRESSIONS:
            raise FetchError(f"{host} sends the file with a content encoding; upload it instead.")
        length = headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() else None
        if size is not None and size > self._max_bytes:
            raise self._too_large(host)
        return Fetched(
            name=file_name(headers.get("content-disposition", ""), response.url),
            size=size,
            _chunks=self._receive(response, deadline),
        )

    def _receive(self, response: httpx.Response, deadline: Deadline) -> Iterator[bytes]:
        received = 0
        with self._translated(response.url, deadline):
            for chunk in response.iter_raw():
                received += len(chunk)
                # The length in the headers may be missing or wrong.
                if received > self._max_bytes:
                    raise self._too_large(response.url.host)
                yield chunk

    def _too_large(self, host: str) -> UploadTooLarge:
        return UploadTooLarge(
            f"The recording at {host} is larger than the {self._max_bytes / _MIB:g} MiB that "
            "MAX_UPLOAD_SIZE_MB allows; send a shorter or compressed one."
        )

    @contextmanager
    def _translated(self, url: httpx.URL, deadline: Deadline) -> Iterator[None]:
        try:
            yield
        except NETWORK_ERRORS as error:
            raise FetchError(f"{url.host} {self._reason(error, deadline)}") from error

    def _reason(self, error: Exception, deadline: Deadline) -> str:
        if deadline.passed:
            return f"took longer than {deadline.seconds:g} s; try again or upload the file."
        if isinstance(error, TooSlow):
            least = f"{LEAST_BYTES_PER_SECOND >> 10} KiB a second"
            return f"sends less than {least}; try again or upload the file."
        if isinstance(error, TIMEOUTS):
            return f"sent nothing for {self._idle_seconds:g} s; try again or upload the file."
        return f"cannot be reached or closed the connection ({error}); retry or upload the file."
