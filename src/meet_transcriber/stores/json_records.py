"""Records as the JSON text that a store keeps, and back."""

import json
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from meet_transcriber.core.errors import TranscriptionError
from meet_transcriber.core.serialization import from_json, to_plain

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
