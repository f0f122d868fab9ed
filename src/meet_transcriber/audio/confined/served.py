"""A recording that is no file of this machine, read through the channel."""

import struct
from typing import BinaryIO

from meet_transcriber.audio.confined.channel import DATA, READ, Channel, ChannelClosed
from meet_transcriber.core.blocks import open_blocks

_WANTED = struct.Struct("<QI")
_PIECE_BYTES = 1 << 18


def open_served(channel: Channel, size: int) -> BinaryIO:
    """A buffered, seekable file of `size` bytes that the other side of the channel holds."""

    def fetch(position: int) -> tuple[int, bytes]:
        channel.send(READ, _WANTED.pack(position, min(_PIECE_BYTES, size - position)))
        frame = channel.receive()
        if frame is None or frame.kind != DATA:
            raise OSError("the recording is not to be had")
        return position, frame.data

    return open_blocks(size, fetch)


def serve(media: BinaryIO, wanted: bytes) -> bytes:
    """The bytes that a child asked for; what `media` raises comes out."""
    try:
        position, size = _WANTED.unpack(wanted)
        media.seek(position)
    except (struct.error, OverflowError, ValueError) as error:  # it asks for what no file has
        raise ChannelClosed from error
    return media.read(min(size, _PIECE_BYTES))
