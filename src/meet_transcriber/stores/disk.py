"""A MediaStore on a folder."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from meet_transcriber.core.errors import StorageError

_CHUNK_BYTES = 1 << 20
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is complete and on the disk."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        _flush_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _translated(verb: str, key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"Cannot {verb} {key}: there is no such object.") from error
    except OSError as error:
        raise StorageError(f"Cannot {verb} {key}: {error.strerror or error}.") from error


def _flush_folder(folder: Path) -> None:
    """Make a rename outlast a power cut; systems that open no folders need no more."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_tree(folder: Path) -> None:
    """Remove a folder; somebody else deleting the same at this moment is no error."""
    with suppress(FileNotFoundError):
        for entry in list(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                _remove_tree(entry)
            else:
                entry.unlink(missing_ok=True)
        folder.rmdir()


class DiskMediaStore:
    """
    Keeps each object as a file below `root`.

    An object appears whole or not at all: it is written beside its place, flushed to the
    disk and renamed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        path = self._path(key)
        with _translated("write", key):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _replacing(path) as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    shutil.copyfileobj(data, file, _CHUNK_BYTES)

    def get(self, key: str) -> bytes:
        with self.open(key) as file, _translated("read", key):
            return file.read()

    def open(self, key: str) -> BinaryIO:
        with _translated("read", key):
            return self._path(key).open("rb")

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, prefix: str) -> None:
        path = self._path(prefix)
        with _translated("delete", prefix):
            if path.is_dir():
                _remove_tree(path)
            else:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise StorageError(
                f"{key!r} is no valid key; keys are relative paths of letters, digits, "
                "'.', '_' and '-'."
            )
        return self._root / key
