"""Reading objects that somebody may replace meanwhile."""

from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from meet_transcriber.core.errors import StorageError

_READINGS = 5


class ObjectChanged(StorageError):
    """The object that was opened is not there any more; perhaps another one is."""


def read_whole(open_object: Callable[[], BinaryIO]) -> bytes:
    """All bytes of an object, begun anew where somebody replaces it meanwhile."""
    for _ in range(_READINGS - 1):
        with suppress(ObjectChanged), open_object() as file:
            return file.read()
    with open_object() as file:
        return file.read()
