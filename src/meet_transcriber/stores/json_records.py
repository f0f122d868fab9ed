"""A value as the text that a store keeps, and back."""

import json
from typing import TypeVar

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.serialization import from_plain, to_plain

T = TypeVar("T")


def dump(value: object) -> str:
    """A dataclass as JSON of ASCII characters, so that any name survives any store."""
    return json.dumps(to_plain(value), separators=(",", ":"))


def load(kind: type[T], text: str | bytes) -> T:
    """
    Read what `dump` wrote.

    Raises:
        StorageError: it is damaged; names the place.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise StorageError(f"A stored {kind.__name__} is damaged: {error}.") from error
    return from_plain(kind, data)


def folded(name: str) -> bytes:
    """A name for comparing without regard to case; one contains another as bytes, too."""
    return name.casefold().encode("utf-8", "surrogatepass")
