"""A MediaStore in a folder."""

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
from meet_transcriber.stores.base import copy_to, is_key, validate_key

_TEMPORARY = ".new-"
_RESERVE_BYTES = 16 << 20
"""Disk space that recordings leave free, for the records and for deleting."""
_CHECK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_ATTEMPTS = 20


@contextmanager
def translated(verb: str, key: str) -> Iterator[None]:
    """Translate OSError to StorageError, and of a full disk to StorageFull."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"Cannot {verb} {key}: there is no such object.") from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                f"Cannot {verb} {key}: the disk is full. Free some space, or set DATA_DIR or "
                "MEDIA_URL to another place."
            ) from error
        raise StorageError(f"Cannot {verb} {key}: {error.strerror or error}.") from error


def make_private(path: Path) -> None:
    """
    Create an empty file that only its owner can read, unless it exists.

    Whatever its folder and the umask allow: jobs, secrets and digests of keys are written to it.
    """
    if path.exists():
        return
    # linked, because to open and close a database releases SQLite's locks in this process
    with suppress(OSError):  # whoever opens the file says why that fails
        file, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
        os.close(file)
        try:
            os.link(name, path)
        finally:
            Path(name).unlink()


def flush_folder(folder: Path) -> None:
    """Flush a rename to the disk; not needed where folders cannot be opened."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _new_file(folder: Path) -> tuple[BinaryIO, Path]:
    """A temporary file in a folder that another process may be removing because it is empty."""
    for attempt in range(_ATTEMPTS):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=_TEMPORARY)
            return os.fdopen(handle, "wb"), Path(name)
        except (FileNotFoundError, FileExistsError):  # it was removed during mkdir
            if folder.is_file():
                raise
            time.sleep(0.001 * attempt)  # lets the other process finish
    raise StorageError(f"Cannot write into {folder}: it is removed repeatedly.")


def _remove_tree(folder: Path) -> None:
    """Remove a folder; tolerates others that delete or write in it at the same time."""
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
        # POSIX allows EEXIST for a folder that is not empty.
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise
        return error.errno == errno.ENOENT
    return True


def disk_capacity(folder: Path) -> Capacity:
    """How full the disk of a folder is, which need not exist yet; raises OSError."""
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return Capacity("disk", usage.total - usage.free, usage.total)


class _FileWriter:
    """Writes one file, with its own errors translated and not those of the caller."""

    def __init__(self, file: BinaryIO, key: str) -> None:
        self._file, self._key = file, key
        self._unchecked = _CHECK_BYTES

    def write(self, data: bytes, /) -> int:
        with translated("write", self._key):
            self._check_space(len(data))
            return self._file.write(data)

    def _check_space(self, size: int) -> None:
        """Check the free space after every MiB."""
        self._unchecked += size
        if self._unchecked > _CHECK_BYTES:
            self._unchecked = 0
            # A disk without any space left would also stop SQLite, and with it all other jobs.
            if shutil.disk_usage(self._file.fileno()).free < _RESERVE_BYTES:
                raise OSError(errno.ENOSPC, "the reserve is left")


class DiskMediaStore:
    """
    Stores each object as a file below `root`.

    Writes are atomic: a temporary file is flushed to the disk and renamed. An open object stays
    readable after its replacement.
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
            file, temporary = _new_file(path.parent)
        try:
            yield _FileWriter(file, key)
            with translated("write", key):  # before the rename: else a crash may leave no bytes
                file.flush()
                os.fsync(file.fileno())
                file.close()
            self._publish(temporary, path, key)
        except BaseException:
            with suppress(OSError):  # a full disk, which has been reported already
                file.close()
            temporary.unlink(missing_ok=True)
            raise

    def _publish(self, temporary: Path, path: Path, key: str) -> None:
        try:
            with translated("write", key):
                # Its folder may be deleted with its job at any time, which then is no error of the
                # disk.
                temporary.replace(path)
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
            # So that a store with many deleted jobs is not full of empty folders.
            folder = path.parent
            while folder != self._root and _remove_if_empty(folder):
                folder = folder.parent

    def remove_stale_writes(self, older_than_seconds: float) -> int:
        before, removed = time.time() - older_than_seconds, 0
        for file in self._files(self._root):
            if file.name.startswith(_TEMPORARY):
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
            file, temporary = _new_file(self._root)
            with file:
                file.write(b"ping")
            temporary.unlink()

    def _files(self, folder: Path) -> Iterator[Path]:
        for parent, _, names in os.walk(folder):
            yield from (Path(parent, name) for name in names)

    def _key(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()

    def _path(self, key: str) -> Path:
        return self._root / validate_key(key)
