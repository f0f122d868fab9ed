"""A recording that is no file of this machine, read through the channel."""

import io
import os
import struct
from typing import BinaryIO

from meet_transcriber.audio.confined.channel import DATA, READ, Channel, ChannelClosed

_WANTED = struct.Struct("<QI")
_PIECE_BYTES = 1 << 18


class ServedMedia(io.RawIOBase):
    """The child's side: each read is asked for."""

    def __init__(self, channel: Channel, size: int) -> None:
        self._channel, self._size, self._position = channel, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        wanted = min(len(buffer), _PIECE_BYTES, max(self._size - self._position, 0))
        if not wanted:
            return 0
        self._channel.send(READ, _WANTED.pack(self._position, wanted))
        frame = self._channel.receive()
        if frame is None or frame.kind != DATA:
            raise OSError("the recording is not to be had")
        buffer[: len(frame.data)] = frame.data
        self._position += len(frame.data)
        return len(frame.data)


def open_served(channel: Channel, size: int) -> BinaryIO:
    """A buffered, seekable file of `size` bytes that the other side of the channel holds."""
    return io.BufferedReader(ServedMedia(channel, size), _PIECE_BYTES)


def serve(media: BinaryIO, wanted: bytes) -> bytes:
    """The bytes that a child asked for; what `media` raises comes out."""
    try:
        position, size = _WANTED.unpack(wanted)
    except struct.error as error:
        raise ChannelClosed from error
    media.seek(position)
    return media.read(min(size, _PIECE_BYTES))
