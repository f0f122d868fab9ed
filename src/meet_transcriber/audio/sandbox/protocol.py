"""
Frames between the service and a child.

A frame is one byte of kind, four bytes of length, and the data. A child imports this module, so it
uses little more than the standard library; what a child sends is checked in `client.py`.
"""

import socket
import struct
import time
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from meet_transcriber.core.range_reader import open_blocks

_HEAD = struct.Struct("<cI")
_MAX_FRAME_BYTES = 16 << 20
_PIECE_BYTES = 1 << 18
_SEND_SECONDS = 60.0  # a child that does not read what it requested hangs

REQUEST, DATA = b"O", b"D"
"""From the service: what to do; bytes of the recording."""
UNFILTERED, READ, SHARE, RESULT, PEAKS, FAILED = b"U", b"R", b"S", b"A", b"P", b"F"
"""From the child: no system call filter; bytes to read; progress; result; peaks; an error."""
OUT_OF_MEMORY, DISK_FULL, BROKEN = "too_much_memory", "disk_full", "broken"
"""Codes of failures that are not `InvalidAudio`."""
STARTED, STATUS = b"b", struct.Struct("=i")
"""From the server over a child's lifetime socket: it runs; its exit status."""


class ChannelClosed(Exception):
    """The other side has closed the channel or sent an invalid frame."""


class Frame(NamedTuple):
    """One message."""

    kind: bytes
    data: bytes


@dataclass(frozen=True)
class Limits:
    """
    Resource limits of a child.

    Attributes:
        memory_bytes: address space, including the program itself.
        cpu_seconds: CPU time.
        file_bytes: size of each file it writes.
    """

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int


class Channel:
    """One side of a stream socket; for one thread."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._buffer = bytearray()

    def send(self, kind: bytes, data: bytes = b"", files: tuple[int, ...] = ()) -> None:
        """Send a frame, and duplicates of file descriptors with it; raises ChannelClosed."""
        frame = _HEAD.pack(kind, len(data)) + data
        try:
            if files:
                sent = socket.send_fds(self._link, [frame], files)
                frame = frame[sent:]
            if frame:  # sending zero bytes fails once the other side has replied and exited
                self._link.sendall(frame)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, seconds: float | None = None) -> Frame | None:
        """
        Return the next frame; None if it is not complete after `seconds`.

        Without `seconds` it blocks and sets no socket option, which a confined child may not do.

        Raises:
            ChannelClosed: the other side has closed the channel.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while (frame := self._complete()) is None:
            if end is not None:
                self._link.settimeout(max(end - time.monotonic(), 0.001))
            try:
                piece = self._link.recv(_PIECE_BYTES)
            except TimeoutError:
                return None
            except OSError as error:
                raise ChannelClosed from error
            finally:
                if end is not None:
                    self._link.settimeout(_SEND_SECONDS)
            if not piece:
                raise ChannelClosed
            self._buffer += piece
        return frame

    def receive_request(self, files: int) -> tuple[Frame, list[int]]:
        """Return the first frame, and the file descriptors with it; raises ChannelClosed."""
        head, handles, _, _ = socket.recv_fds(self._link, _HEAD.size, files)
        if not head:
            raise ChannelClosed
        self._buffer += head
        frame = self.receive()
        assert frame is not None  # noqa: S101 - without a timeout it returns a frame
        return frame, handles

    def _complete(self) -> Frame | None:
        if len(self._buffer) < _HEAD.size:
            return None
        kind, size = _HEAD.unpack_from(self._buffer)
        if size > _MAX_FRAME_BYTES:
            raise ChannelClosed
        end = _HEAD.size + size
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        return Frame(kind, data)


_RANGE = struct.Struct("<QI")  # position, size


def open_remote(channel: Channel, size: int) -> BinaryIO:
    """Return a buffered, seekable file of `size` bytes that the other side serves."""

    def fetch(position: int) -> tuple[int, bytes]:
        channel.send(READ, _RANGE.pack(position, min(_PIECE_BYTES, size - position)))
        frame = channel.receive()
        if frame is None or frame.kind != DATA:
            raise OSError("the recording cannot be read")
        return position, frame.data

    return open_blocks(size, fetch)


def read_requested(media: BinaryIO, request: bytes) -> bytes:
    """Return the bytes that a child requested; errors of `media` pass through."""
    try:
        position, size = _RANGE.unpack(request)
        media.seek(position)
    except (struct.error, OverflowError, ValueError) as error:  # an impossible position
        raise ChannelClosed from error
    return media.read(min(size, _PIECE_BYTES))
