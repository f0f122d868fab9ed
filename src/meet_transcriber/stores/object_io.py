"""Keys of objects, and consistent reads and chunked writes of them."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

from meet_transcriber.core.errors import StorageError
from meet_transcriber.ports.stores import ObjectWriter

# No part begins with a dot, so no key leads upwards; such names are for temporary files.
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def is_key(text: str) -> bool:
    """Whether this is a valid key."""
    return _KEY.fullmatch(text) is not None


def validate_key(key: str) -> str:
    """Return the key unchanged; raises StorageError if it is invalid."""
    if not is_key(key):
        raise StorageError(
            f"{key!r} is not a valid key; keys are relative paths of letters, digits, "
            "'.', '_' and '-'."
        )
    return key


_PIECE_BYTES = 1 << 20


def copy_to(data: bytes | BinaryIO, writer: ObjectWriter, key: str) -> None:
    """Write bytes, or a stream to its end, in pieces of 1 MiB; raises StorageError if it fails."""
    if isinstance(data, bytes):
        writer.write(data)
        return
    while piece := _read(data, key):
        writer.write(piece)


def _read(stream: BinaryIO, key: str) -> bytes:
    try:
        return stream.read(_PIECE_BYTES)
    except OSError as error:
        raise StorageError(f"Cannot write {key}: reading its source failed: {error}.") from error


def cut_pieces(buffer: bytearray, data: bytes, size: int) -> Iterator[bytes]:
    """Append data to a buffer; whenever that has `size` bytes, yield them and empty it."""
    rest = memoryview(data)
    while rest:
        taken = rest[: size - len(buffer)]
        buffer += taken
        rest = rest[len(taken) :]
        if len(buffer) == size:
            piece = bytes(buffer)
            buffer.clear()
            yield piece


_ATTEMPTS = 5


class ObjectChanged(StorageError):
    """The opened object was replaced or deleted."""


def read_consistent(open_object: Callable[[], BinaryIO]) -> bytes:
    """All bytes of an object; starts again if it is replaced meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(ObjectChanged), open_object() as file:
            return file.read()
    with open_object() as file:
        return file.read()
