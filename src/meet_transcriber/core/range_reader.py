"""Seekable files over objects that are fetched in blocks."""

import io
import os
from collections.abc import Callable
from typing import BinaryIO

Fetch = Callable[[int], tuple[int, bytes]]
"""Takes a position in the object; returns a block that contains it: its start and its bytes."""


class BlockReader(io.RawIOBase):
    """
    A raw file that holds one block at a time.

    Args:
        size: bytes of the object.
        fetch: returns a block; its errors pass through reads.
    """

    def __init__(self, size: int, fetch: Fetch) -> None:
        self._size, self._fetch = size, fetch
        self._position = self._start = 0
        self._block = b""

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
        piece = self._read_block(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        pieces = []
        while piece := self._read_block(self._size):
            pieces.append(bytes(piece))
        return b"".join(pieces)

    def _read_block(self, size: int) -> memoryview:
        """Read up to `size` bytes of one block at the position and advance; empty at the end."""
        if self._position >= self._size:
            return memoryview(b"")
        if not self._start <= self._position < self._start + len(self._block):
            self._block = b""  # free it first, so that memory never holds two blocks
            self._start, self._block = self._fetch(self._position)
        begin = self._position - self._start
        piece = memoryview(self._block)[begin : begin + size]
        self._position += len(piece)
        return piece


def open_blocks(size: int, fetch: Fetch) -> BinaryIO:
    """Return a buffered, seekable file of an object of `size` bytes."""
    return buffered(BlockReader(size, fetch))


def buffered(raw: BlockReader) -> BinaryIO:
    """Return a buffered file; closing it closes `raw`."""
    return io.BufferedReader(raw)
