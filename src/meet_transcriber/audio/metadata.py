"""
Hides metadata from FFmpeg, and refuses indexes that a file cannot have.

FFmpeg compares each tag with all before it, so the time that tags take grows with the square of
their number. A transcript needs no tags; where there are too many they are covered up, and cover
art goes with them. What this does not recognize ends at the decoder's limits.
"""

import io
import os
import re
import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import BinaryIO

from meet_transcriber.core.errors import UnreadableAudio

MOST_TAGS = 1000
_MOST_TAG_BYTES = 64 << 10  # where tags are not counted
_MOST_ID3 = 100
_MOST_BLOCKS = 1000
_MOST_BOXES = 20_000  # 128 tracks have a few thousand
_SAMPLES_PER_BYTE = 16  # an index may count samples of sound, of which a packet has many
_HEAD_BYTES = 64 << 10
_HEADER = 8  # name and size of a box or chunk

_ID3 = re.compile(rb"ID3[^\xff]{2}.[\x00-\x7f]{4}", re.DOTALL)

Patches = dict[int, bytes]
"""Bytes by the position at which they replace those of a recording."""


class Covered(io.RawIOBase):
    """
    A view of a recording from `start` on, with some bytes replaced.

    Closing it leaves the recording open.
    """

    def __init__(self, media: BinaryIO, start: int, patches: Mapping[int, bytes]) -> None:
        self._media, self._start, self._patches = media, start, patches
        media.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET:
            offset += self._start
        return self._media.seek(offset, whence) - self._start

    def tell(self) -> int:
        return self._media.tell() - self._start

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        at = self._media.tell()
        data = bytearray(self._media.read(len(buffer)))
        for position, patch in self._patches.items():
            for offset, value in enumerate(patch, position - at):
                if 0 <= offset < len(data):
                    data[offset] = value
        buffer[: len(data)] = data
        return len(data)


def without_metadata(media: BinaryIO) -> BinaryIO:
    """
    Return the recording as FFmpeg may read it.

    Raises:
        UnreadableAudio: it has more tags than can be covered up, or an impossible index.
    """
    start = _end_of_id3(media)
    media.seek(start)
    head = media.read(_HEAD_BYTES)
    patches: Patches = {}
    if head[:4] in (b"RIFF", b"RF64", b"RIFX", b"FORM"):
        patches = _cover_chunks(media, start, "<I" if head[:4] in (b"RIFF", b"RF64") else ">I")
    elif head[:4] == b"fLaC":
        patches = _cover_blocks(media, start)
    elif head[:4] == b"OggS":
        _check_comments(head)
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        patches = _cover_elements(media, start)
    elif head[4:8].isalnum():
        patches = _cover_boxes(media, start)
    media.seek(0)
    if not start and not patches:
        return media
    return io.BufferedReader(Covered(media, start, patches))


def _too_many() -> UnreadableAudio:
    return UnreadableAudio(
        "The file has thousands of tags; it is damaged or crafted. Export only its audio."
    )


def _end_of_id3(media: BinaryIO) -> int:
    """Return where the ID3v2 tags end that a file begins with."""
    end = 0
    for _ in range(_MOST_ID3):
        media.seek(end)
        head = media.read(10)
        if not _ID3.fullmatch(head):
            return end
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte
        end += 10 + size + (10 if head[5] & 0x10 else 0)
    raise _too_many()


# -- RIFF and AIFF -------------------------------------------------------------------------------


def _cover_chunks(media: BinaryIO, start: int, size_format: str) -> Patches:
    """Turn large lists of tags into padding."""
    patches: Patches = {}
    at = start + 12
    for _ in range(_MOST_BLOCKS):
        media.seek(at)
        head = media.read(_HEADER + 4)
        if len(head) < _HEADER:
            break
        name, (size,) = head[:4], struct.unpack(size_format, head[4:8])
        tags = name.upper() == b"ID3 " or (name == b"LIST" and head[8:] == b"INFO")
        if tags and size > _MOST_TAG_BYTES:
            patches[at] = b"JUNK"
        at += _HEADER + size + size % 2
    return patches


# -- FLAC, Ogg -----------------------------------------------------------------------------------


_BLOCK_HEAD, _PADDING, _VORBIS_COMMENT = 4, 1, 4


def _cover_blocks(media: BinaryIO, start: int) -> Patches:
    """Turn blocks of too many comments into padding."""
    patches: Patches = {}
    at, comments = start + 4, 0
    for _ in range(_MOST_BLOCKS):
        media.seek(at)
        head = media.read(_BLOCK_HEAD)
        if len(head) < _BLOCK_HEAD:
            return patches
        kind = head[0]
        if kind & 0x7F == _VORBIS_COMMENT:
            comments += _comments(media.read(8), media)
            if comments > MOST_TAGS:
                patches[at] = bytes([kind & 0x80 | _PADDING])
        if kind & 0x80:
            return patches
        at += 4 + int.from_bytes(head[1:], "big")
    raise _too_many()


def _comments(head: bytes, media: BinaryIO) -> int:
    """Return how many comments a block has; the file is after its first eight bytes."""
    vendor = int.from_bytes(head[:4], "little")
    media.seek(vendor - 4, os.SEEK_CUR)
    return int.from_bytes(media.read(4), "little")


def _check_comments(head: bytes) -> None:
    """Refuse Ogg with too many comments; its pages have checksums, so none is covered up."""
    for mark in (b"\x03vorbis", b"OpusTags"):
        at = head.find(mark)
        while at >= 0:
            at += len(mark)
            file = io.BytesIO(head[at:])
            count = _comments(file.read(8), file)
            if count > MOST_TAGS:
                raise _too_many()
            at = head.find(mark, at)


# -- Matroska ------------------------------------------------------------------------------------

_SEGMENT, _SEEK_HEAD, _SEEK, _TAGS, _CLUSTER = (
    0x18538067, 0x114D9B74, 0x4DBB, 0x1254C367, 0x1F43B675,
)  # fmt: skip
_SEEK_POSITION = 0x53AC
_UNKNOWN = -1
_WIDEST_ID, _WIDEST_SIZE = 4, 8


def _element(media: BinaryIO, at: int) -> tuple[int, int, int] | None:
    """Return an element's id, where its content begins, and its size; None at the end."""
    media.seek(at)
    head = media.read(12)
    width = 9 - head[0].bit_length() if head else 9
    if width > _WIDEST_ID or len(head) <= width:
        return None
    size_width = 9 - head[width].bit_length()
    if size_width > _WIDEST_SIZE or len(head) < width + size_width:
        return None
    size = int.from_bytes(head[width : width + size_width], "big") - (1 << 7 * size_width)
    if size == (1 << 7 * size_width) - 1:
        size = _UNKNOWN
    return int.from_bytes(head[:width], "big"), at + width + size_width, size


def _elements(media: BinaryIO, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield position, id, content and size of each element up to the first of unknown size."""
    for _ in range(_MOST_BLOCKS):
        found = _element(media, at) if at < end else None
        if found is None:
            return
        yield at, *found
        _, content, size = found
        if size == _UNKNOWN:
            return
        at = content + size


def _cover_elements(media: BinaryIO, start: int) -> Patches:
    """Turn large lists of tags, before the sound or named in the file's index, into padding."""
    end = media.seek(0, os.SEEK_END)
    segments = (each for each in _elements(media, start, end) if each[1] == _SEGMENT)
    _, _, segment, _ = next(segments, (0, 0, end, 0))
    patches: Patches = {}
    named: list[int] = []
    for at, kind, content, size in _elements(media, segment, end):
        if kind == _CLUSTER:
            break
        if kind == _SEEK_HEAD:
            named += (segment + each for each in _positions(media, content, content + size))
        _cover_tags(patches, at, kind, content, size)
    for at in named[:_MOST_BLOCKS]:
        if at < end and (found := _element(media, at)):
            _cover_tags(patches, at, *found)
    return patches


def _positions(media: BinaryIO, at: int, end: int) -> Iterator[int]:
    """Yield the positions that a SeekHead names, from the beginning of the segment."""
    for _, kind, content, size in _elements(media, at, end):
        if kind == _SEEK:
            for _, inner, place, width in _elements(media, content, content + size):
                if inner == _SEEK_POSITION and 0 < width <= _WIDEST_SIZE:
                    media.seek(place)
                    yield int.from_bytes(media.read(width), "big")


def _cover_tags(patches: Patches, at: int, kind: int, content: int, size: int) -> None:
    if kind == _TAGS and not 0 <= size <= _MOST_TAG_BYTES:
        if size == _UNKNOWN:
            raise _too_many()
        left = content + size - at - 9  # of a Void element with the widest size
        patches[at] = b"\xec" + (left | 1 << 56).to_bytes(8, "big")


# -- MP4 -----------------------------------------------------------------------------------------

_CONTAINERS = (b"trak", b"mdia", b"minf", b"stbl")
_TAG_BOXES = {b"udta": 0, b"meta": 4, b"ilst": 0}
"""Boxes of tags, and the bytes before the boxes that they contain."""


class _Boxes:
    """Reads the index of an MP4, up to so many boxes."""

    def __init__(self, media: BinaryIO) -> None:
        self._media = media
        self._left = _MOST_BOXES
        self.size = media.seek(0, os.SEEK_END)
        self.patches: Patches = {}

    def read(self, at: int, end: int) -> None:
        """Cover up boxes of too many tags, and check indexes."""
        for begin, name, content, size in self.within(at, min(end, self.size)):
            if name in _CONTAINERS:
                self.read(content, content + size)
            elif name in _TAG_BOXES:
                if self._tags(name, content, content + size) > MOST_TAGS:
                    self.patches[begin + 4] = b"free"
            elif name in (b"stsz", b"stz2"):
                self._check_index(content)

    def within(self, at: int, end: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield position, name, content and size of each box."""
        while at + _HEADER <= end:
            self._left -= 1
            if self._left < 0:
                raise UnreadableAudio(
                    "The index of the file has too many parts, or more than 128 streams; export "
                    "only its audio."
                )
            self._media.seek(at)
            head = self._media.read(16)
            size, header = int.from_bytes(head[:4], "big"), _HEADER
            if size == 1:
                size, header = int.from_bytes(head[8:16], "big"), 16
            size = size or end - at
            if size < header:
                return
            yield at, head[4:8], at + header, min(size, end - at) - header
            at += size

    def _tags(self, name: bytes, at: int, end: int) -> int:
        """Count the boxes below a box of tags, hardly more than MOST_TAGS of them."""
        count = 0
        self._media.seek(at + 4)
        plain = self._media.read(4) == b"hdlr"  # QuickTime's meta, without a version
        for _, inner, content, size in self.within(at + (0 if plain else _TAG_BOXES[name]), end):
            count += 1
            if inner in _TAG_BOXES:
                count += self._tags(inner, content, content + size)
            elif inner == b"keys":
                count += size // _HEADER
            if count > MOST_TAGS:
                break
        return count

    def _check_index(self, content: int) -> None:
        """Refuse a number of samples that the file cannot hold."""
        self._media.seek(content)
        head = self._media.read(12)
        count = int.from_bytes(head[8:12], "big")
        if count > _SAMPLES_PER_BYTE * self.size:
            raise UnreadableAudio(
                "The index claims more samples than the file can hold; it is damaged. Export the "
                "recording again."
            )


def _cover_boxes(media: BinaryIO, start: int) -> Patches:
    boxes = _Boxes(media)
    for _, name, content, size in islice(boxes.within(start, boxes.size), _MOST_BLOCKS):
        if name == b"moov":  # FFmpeg reads the first one only
            boxes.read(content, content + size)
            break
    return boxes.patches
