"""Which keys an object may have: the same ones in every MediaStore."""

import re

from meet_transcriber.core.errors import StorageError

# A part never begins with a dot, so no key leads upwards, and names with one are the stores' own.
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def is_key(text: str) -> bool:
    """Whether an object may be called so."""
    return _KEY.fullmatch(text) is not None


def checked(key: str) -> str:
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
