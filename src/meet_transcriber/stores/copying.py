"""Bytes from somewhere into a writer."""

from typing import BinaryIO

from meet_transcriber.core.errors import StorageError
from meet_transcriber.ports.stores import ObjectWriter

_PIECE_BYTES = 1 << 20


def pour(data: bytes | BinaryIO, writer: ObjectWriter, key: str) -> None:
    """
    Write bytes, or a stream up to its end, in pieces of at most 1 MiB.

    Raises:
        StorageError: the stream breaks, or the writer cannot take more.
    """
    if isinstance(data, bytes):
        writer.write(data)
        return
    while piece := _read(data, key):
        writer.write(piece)


def _read(stream: BinaryIO, key: str) -> bytes:
    try:
        return stream.read(_PIECE_BYTES)
    except OSError as error:
        raise StorageError(f"Cannot write {key}: its source broke off: {error}.") from error
