"""
uvicorn's HTTP/1.1 protocol with deadlines for slow clients and a limit on connections.

uvicorn itself sets no limit on the time and size of request headers, on the size of trailers, on
the time a client takes to read a response, or on its number of connections. `serve` uses this
protocol; other ways to start uvicorn can, too:

    uvicorn src.api.main:app --http meet_transcriber.api.http_protocol:DeadlineHttpProtocol
"""

import asyncio
from asyncio.events import TimerHandle
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from meet_transcriber.api.middleware.rate_limit import client_key

HEADER_SECONDS = 20.0
READING_SECONDS = 60.0
HEADER_BYTES = 64 << 10
TRAILER_BYTES = 8 << 10
MOST_HEADERS = 500
MOST_PIPELINED = 32
FREE_CHUNKS, LEAST_CHUNK_BYTES = 4000, 64
"""Chunks of a body that may be of any size, and the mean size of more."""

_SLOW = b"408 Request Timeout"
_LARGE = b"431 Request Header Fields Too Large"
_CHUNKS = b"400 Bad Request"


class _Refused(Exception):
    """Ends the parsing of what a client sent, whose connection will be closed."""


class DeadlineHttpProtocol(HttpToolsProtocol):
    """
    One connection.

    Headers must arrive within `header_seconds` of its opening, or of the first byte of a later
    request, and have at most about `header_bytes`. Trailers are discarded, and may have about
    `TRAILER_BYTES`. The client must read each piece of a response within `reading_seconds`, and
    end its request within `header_seconds` of the response's end.

    Each header, each chunk of a body and each request that is sent ahead takes some microseconds of
    the event loop however small it is, so their number is limited, too.
    """

    header_seconds: ClassVar[float] = HEADER_SECONDS
    header_bytes: ClassVar[int] = HEADER_BYTES
    reading_seconds: ClassVar[float] = READING_SECONDS
    most_connections: ClassVar[int | None] = None
    """Per client, as `client_key` groups addresses; None means unlimited."""
    _open: ClassVar[Counter[str]] = Counter()

    _deadline: TimerHandle | None = None
    _read_timer: TimerHandle | None = None
    _request_timer: TimerHandle | None = None
    _in_message = False
    _in_body = False
    _header_size = 0
    _bytes_since_body = 0
    _chunks = _body_bytes = 0
    _is_deaf = False
    _answered: RequestResponseCycle | None = None
    _counted: str | None = None

    # -- connections -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # pause_writing() then reports every unread byte
        self._start_header_timer()
        peer = self.client[0] if self.client else ""
        if self.most_connections is not None and not self.is_proxy(peer):
            self._counted = client_key(peer)
            self._open[self._counted] += 1
            if self._open[self._counted] > self.most_connections:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        self._stop_read_timer()
        self._stop_request_timer()
        if self._counted is not None:
            self._open[self._counted] -= 1
            if not self._open[self._counted]:
                del self._open[self._counted]
            self._counted = None
        self.pipeline.clear()
        if self._answered is not None:  # uvicorn tells only the latest of several requests
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    # -- responses -------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_timer = self.loop.call_later(self.reading_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_read_timer()

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def on_response_complete(self) -> None:
        self._answered = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if self._is_deaf and self._answered is None:
            self.transport.close()
        elif self._in_message and not self.transport.is_closing():
            # uvicorn's keep-alive timer would start anew at each byte of the request's rest.
            self._request_timer = self.loop.call_later(self.header_seconds, self.transport.close)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    # -- requests --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._bytes_since_body += len(data)
        super().data_received(data)
        if self._deadline is not None:
            self._header_size += len(data)
            if self._header_size > self.header_bytes:
                self._refuse(_LARGE)
        elif self._in_message:
            # Trailers, or one trailer or chunk extension without end, which the parser keeps.
            if self._bytes_since_body > TRAILER_BYTES:
                self._refuse(_LARGE)
        elif self.cycle is None or self.cycle.response_complete:
            self._start_header_timer()  # only line breaks came, which begin no request

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            self._is_deaf = True
            raise _Refused
        super().on_message_begin()
        self._in_message = True
        self._chunks = self._body_bytes = 0
        if self._deadline is None:
            self._start_header_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer, which uvicorn would add to the headers of the request
            return
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            self._refuse(_LARGE)
            raise _Refused

    def on_headers_complete(self) -> None:
        self._stop_header_timer()
        self._in_body = True
        self._bytes_since_body = 0
        super().on_headers_complete()
        if not self.pipeline:
            self._answered = self.cycle

    def on_body(self, body: bytes) -> None:
        self._bytes_since_body = 0
        self._chunks += 1
        self._body_bytes += len(body)
        if self._chunks > FREE_CHUNKS and self._body_bytes < LEAST_CHUNK_BYTES * self._chunks:
            self._refuse(_CHUNKS)
            raise _Refused
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        if not (self._is_deaf or self.transport.is_closing()):  # else `_Refused` was raised
            super().send_400_response(msg)

    def on_message_complete(self) -> None:
        self._in_message = self._in_body = False
        self._stop_request_timer()
        super().on_message_complete()

    def is_proxy(self, address: str) -> bool:  # noqa: ARG002
        """Whether an address is a proxy's, which has many clients."""
        return False

    def _start_header_timer(self) -> None:
        self._header_size = 0
        self._deadline = self.loop.call_later(self.header_seconds, self._refuse, _SLOW)

    def _stop_header_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        """Send a status line, unless a response is in progress, and close."""
        self._stop_header_timer()
        if self.transport.is_closing():
            return
        cycle = self.cycle
        begun = cycle is not None and (cycle.response_started or bool(self.pipeline))
        if cycle is None or cycle.response_complete or not begun:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        self.transport.close()


def protocol(
    seconds: float, connections: int | None, trusts: Callable[[str], bool]
) -> type[DeadlineHttpProtocol]:
    """The protocol with these limits for uvicorn; `trusts` tells which addresses are proxies."""

    class Configured(DeadlineHttpProtocol):
        header_seconds = seconds
        most_connections = connections
        _open: ClassVar[Counter[str]] = Counter()

        def is_proxy(self, address: str) -> bool:
            return trusts(address)

    return Configured
