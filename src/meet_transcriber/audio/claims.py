"""What the first bytes of a file claim, where FFmpeg stays silent about it."""

from collections.abc import Iterator
from typing import BinaryIO

_ENCRYPTED_SAMPLES = (b"enca", b"encv", b"drms", b"drmi")
_PROTECTION = (b"schm", b"frma")
_MAX_INDEX_BYTES = 64 << 20
_MAX_BOXES = 1000
_STREAMED_SIZES = (0, 0x7FFFFFFF)  # what recorders write that cannot go back to the header
_STREAMED_FROM = 0xFFFF0000  # and anything from here on
_BOX_HEAD_BYTES = 8
_BARE_STREAMS = frozenset({"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "loas", "mp3"})
_MP3_LENGTHS = (b"Xing", b"Info", b"VBRI")


def is_encrypted(media: BinaryIO) -> bool:
    """
    Whether an MP4 says that its samples are encrypted (ISO/IEC 14496-12, 8.12).

    FFmpeg opens such a file under the name of the hidden codec and then decodes noise.
    """
    for name, start, size in _boxes(media):
        if name == b"moov":
            media.seek(start)
            index = media.read(min(size, _MAX_INDEX_BYTES))
            named = any(entry in index for entry in _ENCRYPTED_SAMPLES)
            return named and all(box in index for box in _PROTECTION)
    return False


def missing_bytes(media: BinaryIO) -> int:
    """Bytes that a RIFF header names beyond the file's end; 0 where it makes no claim."""
    media.seek(0)
    head = media.read(8)
    claimed = int.from_bytes(head[4:8], "little")
    if head[:4] != b"RIFF" or claimed in _STREAMED_SIZES or claimed >= _STREAMED_FROM:
        return 0
    return max(claimed + 8 - media.seek(0, 2) - 1, 0)  # an odd chunk's pad may be left out


def is_estimated(container: str, media: BinaryIO) -> bool:
    """Whether FFmpeg guessed the duration from the first bit rates, which may be far off."""
    if container != "mp3":
        return container in _BARE_STREAMS
    media.seek(0)
    head = media.read(10)
    tag = 0
    if head[:3] == b"ID3":  # four bytes of seven bits each
        tag = 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False)
        )
    media.seek(tag)
    frame = media.read(2048)
    return not any(mark in frame for mark in _MP3_LENGTHS)


def _boxes(media: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of the content of each top-level box."""
    at, end = 0, media.seek(0, 2)
    for _ in range(_MAX_BOXES):
        media.seek(at)
        head = media.read(16)
        if len(head) < _BOX_HEAD_BYTES:
            return
        size, header = int.from_bytes(head[:4], "big"), _BOX_HEAD_BYTES
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        size = size or end - at
        if size < header or not head[4:8].isalnum():
            return
        yield head[4:8], at + header, size - header
        at += size
