"""
A server's side of HTTP/1.1 that waits for nobody for ever: uvicorn's own, with deadlines.

uvicorn itself lets a client take any time and any number of bytes for its headers, any time to
take an answer, and open any number of connections. `serve` uses this; other ways to start
uvicorn can:

    uvicorn src.api.main:app --http meet_transcriber.api.http_protocol:PatientProtocol
"""

import asyncio
from asyncio.events import TimerHandle
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from meet_transcriber.api.middleware.proxy_headers import client_key

HEADER_SECONDS = 20.0
TAKING_SECONDS = 60.0
HEADER_BYTES = 64 << 10

_SLOW = b"408 Request Timeout"
_LARGE = b"431 Request Header Fields Too Large"


class DeadlineHttpProtocol(HttpToolsProtocol):
    """
    One connection. Its headers must be there within `header_seconds`, from its opening and from
    the first byte of every later request, and have at most about `header_bytes`. Of an answer, a
    piece must be taken within `taking_seconds`.
    """

    header_seconds: ClassVar[float] = HEADER_SECONDS
    header_bytes: ClassVar[int] = HEADER_BYTES
    taking_seconds: ClassVar[float] = TAKING_SECONDS
    most_connections: ClassVar[int | None] = None
    """Per client, as `household` tells them apart; None does not limit them."""
    _open: ClassVar[Counter[str]] = Counter()

    _deadline: TimerHandle | None = None
    _untaken: TimerHandle | None = None
    _in_message = False
    _header_size = 0
    _counted: str | None = None

    # -- connections -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # so that we hear of all that is not taken at once
        self._await_headers()
        peer = self.client[0] if self.client else ""
        if self.most_connections is not None and not self.is_proxy(peer):
            self._counted = client_key(peer)
            self._open[self._counted] += 1
            if self._open[self._counted] > self.most_connections:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._got_headers()
        self._was_taken()
        if self._counted is not None:
            self._open[self._counted] -= 1
            if not self._open[self._counted]:
                del self._open[self._counted]
            self._counted = None
        super().connection_lost(exc)

    # -- answers ---------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.loop.call_later(self.taking_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._was_taken()

    def _was_taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    # -- requests --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is not None:
            self._header_size += len(data)
            if self._header_size > self.header_bytes:
                self._refuse(_LARGE)
        elif self._is_idle():  # what came was nothing, such as line breaks between requests
            self._await_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = True
        if self._deadline is None:
            self._await_headers()

    def on_headers_complete(self) -> None:
        self._got_headers()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def is_proxy(self, address: str) -> bool:  # noqa: ARG002
        """Whether an address is that of a proxy, which has many clients."""
        return False

    def _is_idle(self) -> bool:
        return not self._in_message and (self.cycle is None or self.cycle.response_complete)

    def _await_headers(self) -> None:
        self._header_size = 0
        self._deadline = self.loop.call_later(self.header_seconds, self._refuse, _SLOW)

    def _got_headers(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        """Say why in one line, where an answer is not being sent, and close."""
        self._got_headers()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        self.transport.close()


def protocol(
    seconds: float, connections: int | None, trusts: Callable[[str], bool]
) -> type[DeadlineHttpProtocol]:
    """
    The protocol for uvicorn's `http`, counting its own connections.

    Args:
        seconds, connections: its `header_seconds` and `most_connections`.
        trusts: whether an address is that of a proxy.
    """

    class Configured(DeadlineHttpProtocol):
        header_seconds = seconds
        most_connections = connections
        _open: ClassVar[Counter[str]] = Counter()

        def is_proxy(self, address: str) -> bool:
            return trusts(address)

    return Configured
