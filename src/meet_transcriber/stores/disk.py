"""A MediaStore on a folder."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from meet_transcriber.core.errors import StorageError, StorageFull
from meet_transcriber.ports.stores import Capacity, ObjectWriter
from meet_transcriber.stores.object_io import copy_to, is_key, validate_key

_SCRAP = ".new-"
_RESERVE_BYTES = 16 << 20
"""Room that recordings leave on the disk, for the records that tell of it and for deleting."""
_LOOK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_ATTEMPTS = 20


@contextmanager
def translated(verb: str, key: str) -> Iterator[None]:
    """Turn what the system says into a StorageError, a full disk into StorageFull."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"Cannot {verb} {key}: there is no such object.") from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                f"Cannot {verb} {key}: the disk is full. Make room there, or name another "
                "place by DATA_DIR or MEDIA_URL."
            ) from error
        raise StorageError(f"Cannot {verb} {key}: {error.strerror or error}.") from error


def flush_folder(folder: Path) -> None:
    """Make a rename outlast a power cut; systems that open no folders need no more."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _new_file(folder: Path) -> tuple[BinaryIO, Path]:
    """A file of our own in a folder that somebody may be removing, being empty."""
    for attempt in range(_ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=_SCRAP)
            return os.fdopen(handle, "wb"), Path(name)
        except (FileNotFoundError, FileExistsError):  # mkdir met it, then missed it
            if folder.is_file():
                raise
            time.sleep(0.001 * attempt)
    raise StorageError(f"Cannot write into {folder}: it is removed again and again.")


def _remove_tree(folder: Path) -> None:
    """Remove a folder; who deletes the same or writes anew at this moment is no error."""
    with suppress(FileNotFoundError):
        for entry in list(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                _remove_tree(entry)
            else:
                entry.unlink(missing_ok=True)
    _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError as error:
        # POSIX lets a system say EEXIST of a folder that holds something.
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise
        return error.errno == errno.ENOENT
    return True


def disk_capacity(folder: Path) -> Capacity:
    """How full the disk is that a folder is on, or will be on; raises OSError."""
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return Capacity("disk", usage.total - usage.free, usage.total)


class _FileWriter:
    """Takes the bytes of one file; its errors are ours, those of who fills it are not."""

    def __init__(self, file: BinaryIO, key: str) -> None:
        self._file, self._key = file, key
        self._unlooked = _LOOK_BYTES

    def write(self, data: bytes, /) -> int:
        with translated("write", self._key):
            self._look(len(data))
            return self._file.write(data)

    def _look(self, size: int) -> None:
        """Now and then, see that there is more room than the reserve."""
        self._unlooked += size
        if self._unlooked > _LOOK_BYTES:
            self._unlooked = 0
            if shutil.disk_usage(self._file.fileno()).free < _RESERVE_BYTES:
                raise OSError(errno.ENOSPC, "the reserve is left")


class DiskMediaStore:
    """
    Keeps each object as a file below `root`.

    An object appears whole or not at all: it is written beside its place, flushed to the
    disk and renamed. An open object outlives its replacement.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        with self.writer(key) as writer:
            copy_to(data, writer, key)

    @contextmanager
    def writer(self, key: str) -> Iterator[ObjectWriter]:
        path = self._path(key)
        with translated("write", key):
            file, scrap = _new_file(path.parent)
        try:
            yield _FileWriter(file, key)
            with translated("write", key):
                file.flush()
                os.fsync(file.fileno())
                file.close()
            self._take_place(scrap, path, key)
        except BaseException:
            with suppress(OSError):  # a full disk says so again, and was heard already
                file.close()
            scrap.unlink(missing_ok=True)
            raise

    def _take_place(self, scrap: Path, path: Path, key: str) -> None:
        try:
            with translated("write", key):
                scrap.replace(path)
                flush_folder(path.parent)
        except StorageError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise StorageError(f"Cannot write {key}: it was deleted meanwhile.") from error

    def get(self, key: str) -> bytes:
        with self.open(key) as file, translated("read", key):
            return file.read()

    def open(self, key: str) -> BinaryIO:
        with translated("read", key):
            return self._path(key).open("rb")

    def size(self, key: str) -> int:
        with self.open(key) as file, translated("read", key):
            return os.fstat(file.fileno()).st_size

    def exists(self, key: str) -> bool:
        with translated("look for", key):
            return self._path(key).is_file()

    def keys(self, prefix: str) -> list[str]:
        path = self._path(prefix)
        if path.is_file():
            return [prefix]
        return sorted(key for key in map(self._key, self._files(path)) if is_key(key))

    def delete(self, prefix: str) -> None:
        path = self._path(prefix)
        with translated("delete", prefix):
            if path.is_dir():
                _remove_tree(path)
            else:
                with suppress(NotADirectoryError):
                    path.unlink(missing_ok=True)
            self._remove_empty_folders(path.parent)

    def remove_stale_writes(self, older_than_seconds: float) -> int:
        before, removed = time.time() - older_than_seconds, 0
        for file in self._files(self._root):
            if file.name.startswith(_SCRAP):
                with translated("tidy", self._key(file)), suppress(FileNotFoundError):
                    if file.stat().st_mtime <= before:
                        file.unlink()
                        removed += 1
        return removed

    def capacity(self) -> Capacity | None:
        with translated("measure", str(self._root)):
            return disk_capacity(self._root)

    def ping(self) -> None:
        with translated("keep anything in", str(self._root)):
            file, scrap = _new_file(self._root)
            with file:
                file.write(b"ping")
            scrap.unlink()

    def _remove_empty_folders(self, folder: Path) -> None:
        while folder != self._root and _remove_if_empty(folder):
            folder = folder.parent

    def _files(self, folder: Path) -> Iterator[Path]:
        for parent, _, names in os.walk(folder):
            yield from (Path(parent, name) for name in names)

    def _key(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()

    def _path(self, key: str) -> Path:
        return self._root / validate_key(key)
