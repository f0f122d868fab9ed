"""Frames between the service and a child: one byte of kind, four of length, the bytes."""

import socket
import struct
import time
from typing import BinaryIO, NamedTuple

from meet_transcriber.core.range_reader import open_blocks

_HEAD = struct.Struct("<cI")
_MAX_FRAME_BYTES = 16 << 20
_PIECE_BYTES = 1 << 18
_SEND_SECONDS = 60.0  # a child that asked for bytes and does not take them hangs

ORDER, DATA = b"O", b"D"
"""From us: what to do; bytes of the recording."""
UNFILTERED, READ, SHARE, RESULT, PEAKS, FAILED = b"U", b"R", b"S", b"A", b"P", b"F"
"""From the child: no kernel holds it; wanted bytes; share; the answer; its outline; an error."""


class ChannelClosed(Exception):
    """The other side has gone, or says what makes no sense."""


class Frame(NamedTuple):
    """One message."""

    kind: bytes
    data: bytes


class Channel:
    """One side of a stream socket; for one thread."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._buffer = bytearray()

    def send(self, kind: bytes, data: bytes = b"", files: tuple[int, ...] = ()) -> None:
        """
        Send a frame, and copies of open files with it.

        Raises:
            ChannelClosed: the other side has gone.
        """
        frame = _HEAD.pack(kind, len(data)) + data
        try:
            if files:
                sent = socket.send_fds(self._link, [frame], files)
                frame = frame[sent:]
            if frame:  # sending nothing fails, too, once the other side has answered and gone
                self._link.sendall(frame)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, seconds: float | None = None) -> Frame | None:
        """
        The next frame; None where it is not complete after so many seconds.

        Without `seconds` it waits, and sets nothing on the socket: a confined child may not.

        Raises:
            ChannelClosed: the other side has gone.
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

    def receive_order(self, files: int) -> tuple[Frame, list[int]]:
        """
        The first frame, with the open files that came with it.

        Raises:
            ChannelClosed: the other side has gone.
        """
        head, handles, _, _ = socket.recv_fds(self._link, _HEAD.size, files)
        if not head:
            raise ChannelClosed
        self._buffer += head
        frame = self.receive()
        assert frame is not None  # noqa: S101 - without a time limit there is a frame
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


_WANTED = struct.Struct("<QI")


def open_remote(channel: Channel, size: int) -> BinaryIO:
    """A buffered, seekable file of `size` bytes that the other side of the channel holds."""

    def fetch(position: int) -> tuple[int, bytes]:
        channel.send(READ, _WANTED.pack(position, min(_PIECE_BYTES, size - position)))
        frame = channel.receive()
        if frame is None or frame.kind != DATA:
            raise OSError("the recording is not to be had")
        return position, frame.data

    return open_blocks(size, fetch)


def read_requested(media: BinaryIO, wanted: bytes) -> bytes:
    """The bytes that a child asked for; what `media` raises comes out."""
    try:
        position, size = _WANTED.unpack(wanted)
        media.seek(position)
    except (struct.error, OverflowError, ValueError) as error:  # it asks for what no file has
        raise ChannelClosed from error
    return media.read(min(size, _PIECE_BYTES))
