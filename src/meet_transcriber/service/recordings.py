"""Recordings that came in pieces: one file to whoever reads, several objects in the MediaStore."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

from meet_transcriber.core.jobs import Piece
from meet_transcriber.core.range_reader import BlockReader, buffered
from meet_transcriber.core.serialization import from_plain, to_plain
from meet_transcriber.ports.stores import MediaStore

_LIST = "pieces.json"
_BLOCK_BYTES = 1 << 20


def join(media: MediaStore, folder: str, pieces: Sequence[Piece]) -> str:
    """Make one recording of pieces below `folder`, without copying them; returns its key."""
    if len(pieces) == 1:
        return pieces[0].key
    key = f"{folder}/{_LIST}"
    media.put(key, json.dumps(to_plain(list(pieces))).encode())
    return key


def open_recording(media: MediaStore, key: str) -> BinaryIO:
    """A recording as `MediaStore.open` opens an object."""
    pieces = pieces_of(media, key)
    return buffered(_Joined(media, pieces)) if pieces else media.open(key)


def size_of(media: MediaStore, key: str) -> int:
    """Bytes of a recording."""
    pieces = pieces_of(media, key)
    return sum(piece.size_bytes for piece in pieces) if pieces else media.size(key)


def delete_recording(media: MediaStore, key: str) -> None:
    """Remove a recording, its pieces first: as long as there is a list, they are found."""
    for piece in pieces_of(media, key):
        media.delete(piece.key)
    media.delete(key)


def pieces_of(media: MediaStore, key: str | None) -> tuple[Piece, ...]:
    """The pieces of a recording; none where it is one object."""
    if key is None or not key.endswith(f"/{_LIST}"):
        return ()
    return tuple(from_plain(Piece, each) for each in json.loads(media.get(key)))


class _Joined(BlockReader):
    """The raw file over all pieces; keeps the one open that was read last."""

    def __init__(self, media: MediaStore, pieces: Sequence[Piece]) -> None:
        self._media, self._pieces = media, pieces
        self._starts = [0, *accumulate(piece.size_bytes for piece in pieces)]
        self._open: tuple[int, BinaryIO] | None = None
        super().__init__(self._starts[-1], self._block_at)

    def close(self) -> None:
        self._close_piece()
        super().close()

    def _block_at(self, position: int) -> tuple[int, bytes]:
        number = bisect_right(self._starts, position) - 1
        file = self._piece(number)
        file.seek(position - self._starts[number])
        return position, file.read(_BLOCK_BYTES)

    def _piece(self, number: int) -> BinaryIO:
        if self._open is not None and self._open[0] == number:
            return self._open[1]
        self._close_piece()
        file = self._media.open(self._pieces[number].key)
        self._open = number, file
        return file

    def _close_piece(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
