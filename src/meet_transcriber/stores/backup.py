"""Backs up the data of one machine while the service runs, and restores it."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from meet_transcriber.core.errors import JobNotFound, StorageError
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.core.voices import FOLDER as VOICES_FOLDER
from meet_transcriber.ports.stores import Copied, MediaStore
from meet_transcriber.stores.base import validate_key
from meet_transcriber.stores.disk import DiskMediaStore, make_private
from meet_transcriber.stores.sqlite.database import check_version
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore

_PAGE = 100
_DATABASE, _MEDIA, _SUMS = "jobs.sqlite3", "media", "SHA256SUMS"


def back_up(database: Path, media: MediaStore, target: Path) -> Copied:
    """
    Copy a snapshot of the records, then the objects of their jobs and the encrypted voices. The
    key of the voices is not copied.

    The copy has the layout of DATA_DIR. Jobs deleted meanwhile are left out; uploads and running
    tasks start again after a restore. SHA256SUMS is written last, for `sha256sum --check`.

    Raises:
        StorageError: `target` is not empty, or cannot be written.
    """
    _check_empty(target)
    _copy_database(database, target / _DATABASE)
    with (
        closing(SqliteJobStore(database)) as live,
        closing(SqliteJobStore(target / _DATABASE)) as copy,
    ):
        copied = _Backup(live, copy, media, DiskMediaStore(target / _MEDIA)).run()
    _write_sums(target)
    return copied


def put_back(source: Path, database: Path, media: MediaStore) -> Copied:
    """
    Restore a backup for a service that is not running.

    Raises:
        StorageError: there are jobs already, or `source` is not a complete, unchanged backup;
            nothing was restored.
    """
    if database.exists():
        raise StorageError(
            f"There are jobs in {database} already. Set DATA_DIR to an empty folder, or move the "
            "existing data away."
        )
    kept, copied = DiskMediaStore(source / _MEDIA), Copied()
    for key in _verified_keys(source):
        with kept.open(key) as file:
            media.put(key, file)
        copied.objects += 1
    # Last, so that the database never refers to missing objects.
    _copy_database(source / _DATABASE, database)
    with closing(sqlite3.connect(database)) as db:
        (copied.jobs,) = db.execute("SELECT count(*) FROM jobs WHERE listed").fetchone()
    return copied


class _Backup:
    def __init__(
        self, live: SqliteJobStore, copy: SqliteJobStore, source: MediaStore, target: MediaStore
    ) -> None:
        self._live, self._copy, self._source, self._target = live, copy, source, target
        self._copied = Copied()

    def run(self) -> Copied:
        gone, after = list[str](), None
        while page := self._copy.page(JobQuery(limit=_PAGE, order="asc", after=after)):
            gone += [job.id for job in page if not self._keep(job)]
            after = page[-1].id
        for job_id in gone:
            self._copy.remove(job_id)
        for key in self._source.keys(VOICES_FOLDER):
            self._take(key)
        return self._copied

    def _keep(self, job: Job) -> bool:
        """Copy a job's objects; False if the job was deleted meanwhile."""
        while missing := [key for key in self._keys(job) if not self._take(key)]:
            try:
                now = self._live.get(job.id)
            except JobNotFound:
                return False
            if now.deleted:
                return False
            # The record still names it, so it is lost and not replaced: no further try would find
            # it.
            if now.version == job.version or now.objects == job.objects:
                self._copied.missing += tuple(set(missing) & set(job.objects.values()))
                break
            job = self._copy.update(job.id, lambda _, now=now: now).after  # type: ignore[misc]
        self._copied.jobs += 1
        return True

    def _keys(self, job: Job) -> set[str]:
        """The objects that the record names, and all others below the job's prefix."""
        return {*job.objects.values(), *self._source.keys(job.prefix)}

    def _take(self, key: str) -> bool:
        """Copy an object unless that was done; False if it does not exist."""
        if self._target.exists(key):
            return True
        try:
            with self._source.open(key) as file:
                self._target.put(key, file)
        except StorageError:
            if self._source.exists(key):
                raise
            return False
        self._copied.objects += 1
        return True


# -- checksums -------------------------------------------------------------------------------


def _write_sums(folder: Path) -> None:
    """Write the checksums, which mark the backup as complete."""
    media = DiskMediaStore(folder / _MEDIA)
    keys = [*media.keys("jobs"), *media.keys(VOICES_FOLDER)]
    names = [_DATABASE, *(f"{_MEDIA}/{key}" for key in keys)]
    # Renamed when it is complete: a backup without this file is refused.
    unfinished = folder / f"{_SUMS}.new"
    try:
        make_private(unfinished)
        unfinished.write_text("".join(f"{_sum(folder / name)}  {name}\n" for name in names))
        unfinished.replace(folder / _SUMS)
    except OSError as error:
        raise StorageError(
            f"The checksums of {folder} cannot be written: {error.strerror or error}."
        ) from error


def _verified_keys(folder: Path) -> list[str]:
    """The keys of a backup's objects, after its checksums were verified."""
    # All of it, before anything is restored.
    names = dict(_listed(folder))
    if _DATABASE not in names:
        raise StorageError(f"{folder} is not a complete backup: it has no valid {_SUMS}.")
    for name, known in names.items():
        _compare(folder / name, known)
    with closing(
        sqlite3.connect(f"{(folder / _DATABASE).resolve().as_uri()}?mode=ro", uri=True)
    ) as db:
        check_version(db)
    return [validate_key(name.removeprefix(f"{_MEDIA}/")) for name in names if name != _DATABASE]


def _listed(folder: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = (folder / _SUMS).read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{folder / _SUMS} cannot be read: {error}.") from error
    for line in lines:
        known, _, name = line.partition("  ")
        yield name, known


def _compare(path: Path, known: str) -> None:
    try:
        found = _sum(path)
    except OSError as error:
        raise StorageError(
            f"The backup is damaged: {path} cannot be read: {error.strerror or error}. Nothing was "
            "restored; make another backup."
        ) from error
    if found != known:
        raise StorageError(
            f"The backup is damaged: the checksum of {path} does not match. Nothing was restored; "
            "make another backup."
        )


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_empty(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = next(folder.iterdir(), None)
    except OSError as error:
        raise StorageError(f"{folder} cannot be used: {error.strerror or error}.") from error
    if found is not None:
        raise StorageError(f"{folder} is not empty; use a new folder for each backup.")


def _copy_database(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(target)
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as db,
            closing(sqlite3.connect(target)) as copy,
        ):
            db.backup(copy)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise StorageError(f"{source} cannot be copied to {target}: {error}.") from error
