"""What all stores share: records as JSON, keys of objects, and their pieces."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, BinaryIO, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from meet_transcriber.core.errors import StorageError, TranscriptionError
from meet_transcriber.core.serialization import from_json, to_plain
from meet_transcriber.ports.stores import ObjectWriter

T = TypeVar("T")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(value: object) -> str:
    """A dataclass as compact JSON of ASCII characters, so that any name survives any store."""
    with suppress(PydanticSerializationError):
        text = _adapter(cast(Any, type(value))).dump_json(value, ensure_ascii=True).decode()
        if "\\ufffd" not in text:
            return text
    # pydantic refuses lone surrogates, and puts U+FFFD in their place in keys
    return json.dumps(to_plain(value), separators=(",", ":"))


def load(kind: type[T], text: str | bytes) -> T:
    """
    Read what `dump` wrote. Unknown keys are ignored, missing ones take the field's default.

    Raises:
        StorageError: it is damaged; names the place.
    """
    try:
        return cast(T, _adapter(cast(Any, kind)).validate_json(text, strict=True))
    except (ValidationError, TranscriptionError):
        # It accepts lone surrogates, which pydantic refuses, and names the place of an error.
        return from_json(kind, text)


def folded(name: str) -> bytes:
    """A name for case-insensitive substring comparison, also as bytes."""
    return name.casefold().encode("utf-8", "surrogatepass")


# -- objects ---------------------------------------------------------------------------------

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
