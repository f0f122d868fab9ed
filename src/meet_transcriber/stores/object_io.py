"""Keys of objects, and reading and writing them."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from meet_transcriber.core.errors import StorageError
from meet_transcriber.ports.stores import ObjectWriter

# A part never begins with a dot, so no key leads upwards, and names with one are the stores' own.
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def is_key(text: str) -> bool:
    """Whether an object may be called so."""
    return _KEY.fullmatch(text) is not None


def validate_key(key: str) -> str:
    """
    Return the key as it is.

    Raises:
        StorageError: it is none, or leads somewhere else.
    """
    if not is_key(key):
        raise StorageError(
            f"{key!r} is no valid key; keys are relative paths of letters, digits, "
            "'.', '_' and '-'."
        )
    return key


_PIECE_BYTES = 1 << 20


def copy_to(data: bytes | BinaryIO, writer: ObjectWriter, key: str) -> None:
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


_READINGS = 5


class ObjectChanged(StorageError):
    """The object that was opened is not there any more; perhaps another one is."""


def read_consistent(open_object: Callable[[], BinaryIO]) -> bytes:
    """All bytes of an object, begun anew where somebody replaces it meanwhile."""
    for _ in range(_READINGS - 1):
        with suppress(ObjectChanged), open_object() as file:
            return file.read()
    with open_object() as file:
        return file.read()
