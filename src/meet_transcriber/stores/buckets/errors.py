"""What object stores say, in words that name MEDIA_URL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions as said

from meet_transcriber.core.errors import StorageError, StorageUnavailable
from meet_transcriber.stores.object_io import ObjectChanged

_NOT_FOUND = (FileNotFoundError, said.NotFoundError)
_DENIED = (PermissionError, said.PermissionDeniedError, said.UnauthenticatedError)
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|specified (bucket|container) does not")
_NO_ANSWER = re.compile(
    r"HTTP error|status code: (5\d\d|408|429)|timed out|connection", re.IGNORECASE
)
# Where machines in a cloud ask for credentials, once there are none in the environment.
_NO_CREDENTIALS = re.compile(r"169\.254\.169\.254|metadata\.google|[Cc]redentials")
_DETAIL = re.compile(r"<Code>(\w+)</Code>")


@contextmanager
def translated(verb: str, key: str) -> Iterator[None]:
    """Turn errors of obstore into ours; those of who calls pass through."""
    try:
        yield
    except (said.BaseError, OSError, ValueError) as error:
        raise _translation(f"Cannot {verb} {key}", error) from error


def _translation(what: str, error: Exception) -> StorageError:
    text = str(error)
    brief = _brief(text)
    if _NO_BUCKET.search(text):
        return StorageError(f"{what}: there is no such bucket. Create it, or correct MEDIA_URL.")
    if isinstance(error, _NOT_FOUND):
        return StorageError(f"{what}: there is no such object.")
    if isinstance(error, said.PreconditionError):
        return ObjectChanged(f"{what}: it was replaced or deleted meanwhile.")
    if isinstance(error, _DENIED):
        return StorageError(
            f"{what}: the store denies access. Credentials need to list, read, write and delete "
            f"what MEDIA_URL names. It says: {brief}."
        )
    return _of_other_kinds(what, brief)


def _of_other_kinds(what: str, brief: str) -> StorageError:
    if _NO_CREDENTIALS.search(brief):
        return StorageError(f"{what}: there are no credentials for MEDIA_URL. Asked for: {brief}.")
    if _NO_ANSWER.search(brief):
        return StorageUnavailable(f"{what}: the store of MEDIA_URL does not answer: {brief}.")
    return StorageError(f"{what}: the store of MEDIA_URL says: {brief}.")


def _brief(text: str) -> str:
    """What matters of a message: its first line without bodies, and the code in the body."""
    line = text.partition("\n")[0].partition("<")[0].strip().rstrip(":.,")
    detail = _DETAIL.search(text)
    return f"{line}: {detail[1]}" if detail else line
