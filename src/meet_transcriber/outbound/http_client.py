"""HTTP over guarded connections, with a deadline for the whole exchange.

Only public interfaces of httpx and httpcore are used, so that a new version of either fails visibly
and cannot bypass the guard.
"""

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager

import httpcore
import httpx

from meet_transcriber.core.pace import Pace
from meet_transcriber.outbound.address_guard import AddressGuard

_WRITE_BYTES = 1 << 16
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "meet-transcriber"}


LEAST_BYTES_PER_SECOND = 8 << 10
WINDOW_SECONDS = 60.0


class TooSlow(httpcore.TimeoutException):
    """A server sends fewer bytes than LEAST_BYTES_PER_SECOND."""


class Deadline:
    """
    A point in monotonic time after which nothing may wait, and the least speed until then.

    Args:
        window_seconds: of waiting for bytes, over each of which the speed is measured.
    """

    def __init__(self, seconds: float, window_seconds: float = WINDOW_SECONDS) -> None:
        self.seconds = seconds
        self._pace = Pace(LEAST_BYTES_PER_SECOND, window_seconds)
        self._end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._end

    def note(self, received: int, waited: float) -> None:
        """Count bytes and the seconds spent waiting for them; raises TooSlow."""
        if not self._pace.keeps(received, waited):
            raise TooSlow(f"less than {LEAST_BYTES_PER_SECOND} bytes a second")

    def cap(self, timeout: float | None) -> float:
        """Shorten a timeout to the time that is left; raises httpcore.TimeoutException."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.TimeoutException(f"{self.seconds:g} s have passed")
        return left if timeout is None else min(timeout, left)


class _TimedStream(httpcore.NetworkStream):
    """A connection on which no wait exceeds the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        started = time.monotonic()
        data = self._stream.read(max_bytes, self._deadline.cap(timeout))
        self._deadline.note(len(data), time.monotonic() - started)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # in pieces, as a timeout counts for each and a slow receiver could stretch one large write
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[start : start + _WRITE_BYTES], self._deadline.cap(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.cap(timeout))
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves and checks a host once per connection, and connects to the checked address."""

    def __init__(
        self,
        guard: AddressGuard,
        deadline: Deadline,
        connector: httpcore.NetworkBackend | None = None,
    ) -> None:
        self._guard, self._deadline = guard, deadline
        self._connector = connector or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """
        Connect to the first address of `host` that accepts.

        Raises:
            AddressRefused: one of the addresses is forbidden; nothing was connected.
            FetchError: the host does not resolve.
            httpcore.ConnectError, httpcore.TimeoutException: no address accepts.
        """
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._guard.resolve(host, port):
            left = self._deadline.cap(timeout)
            try:
                # To the address and not the name, which could resolve to another one this time.
                stream = self._connector.connect_tcp(
                    address, port, left, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self._deadline)
        raise failure


class _Body(httpx.SyncByteStream):
    """A response body, as httpx needs it."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class GuardedTransport(httpx.BaseTransport):
    """httpx over connections of one `GuardedBackend`. Raises httpcore's errors as they are."""

    def __init__(self, backend: httpcore.NetworkBackend, ssl_context: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(ssl_context, network_backend=backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._pool.close()


TIMEOUTS = (httpcore.TimeoutException, httpx.TimeoutException)
NETWORK_ERRORS = (httpcore.NetworkError, httpcore.ProtocolError, httpx.HTTPError, *TIMEOUTS)
"""What a connection may raise besides FetchError and AddressRefused."""


class GuardedClient(AbstractContextManager["GuardedClient"]):
    """
    Sends the requests of one download or delivery; no wait is longer than `idle_seconds`.

    Unlike `httpx.Client` it uses no proxy from the environment, no cookies, no redirects, no
    compression and no credentials of a `.netrc`.
    """

    def __init__(
        self,
        guard: AddressGuard,
        deadline: Deadline,
        ssl_context: ssl.SSLContext,
        idle_seconds: float,
    ) -> None:
        self._transport = GuardedTransport(GuardedBackend(guard, deadline), ssl_context)
        self._timeout = httpx.Timeout(idle_seconds).as_dict()

    @contextmanager
    def send(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Iterator[httpx.Response]:
        """
        Send a request; yields the response, whose body is read with `iter_raw`.

        Raises:
            AddressRefused, FetchError: the host is forbidden or does not resolve.
            NETWORK_ERRORS: there is no valid HTTP response.
        """
        request = httpx.Request(
            method,
            url,
            headers=_HEADERS | dict(headers or {}),
            content=body or None,
            extensions={"timeout": self._timeout},
        )
        with closing(self._transport.handle_request(request)) as response:
            response.request = request
            yield response

    def __exit__(self, *_: object) -> None:
        self._transport.close()
