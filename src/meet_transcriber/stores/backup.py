"""A copy of everything that one machine keeps, taken while the service runs, and put back."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from meet_transcriber.core.errors import JobNotFound, StorageError
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.core.voices import FOLDER as VOICES_FOLDER
from meet_transcriber.ports.stores import Copied, MediaStore
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.object_io import validate_key
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from meet_transcriber.stores.sqlite.schema import check_version

_PAGE = 100
_DATABASE, _MEDIA, _SUMS = "jobs.sqlite3", "media", "SHA256SUMS"


def back_up(database: Path, media: MediaStore, target: Path) -> Copied:
    """
    Copy the records as they are at one moment, then the objects of their jobs and the people
    whose voices are remembered, as they are sealed; what they were sealed with is not copied.

    The copy is laid out as DATA_DIR is. What is deleted meanwhile is left out of it; uploads
    and tasks that are under way begin again where it is put back. The last file to come is
    SHA256SUMS, as `sha256sum --check` reads it.

    Raises:
        StorageError: there is something in `target`, or it cannot be written.
    """
    _expect_nothing_in(target)
    _copy_database(database, target / _DATABASE)
    with (
        closing(SqliteJobStore(database)) as live,
        closing(SqliteJobStore(target / _DATABASE)) as copy,
    ):
        copied = _Backup(live, copy, media, DiskMediaStore(target / _MEDIA)).run()
    _seal(target)
    return copied


def put_back(source: Path, database: Path, media: MediaStore) -> Copied:
    """
    Bring a copy to where a service that is not running keeps its jobs and objects.

    Raises:
        StorageError: there are jobs already, or `source` is no such copy, whole and as it was
            made; nothing was put back then.
    """
    if database.exists():
        raise StorageError(
            f"There are jobs in {database} already. Name an empty folder by DATA_DIR, or move "
            "what is there out of the way."
        )
    kept, copied = DiskMediaStore(source / _MEDIA), Copied()
    for key in _sealed(source):
        with kept.open(key) as file:
            media.put(key, file)
        copied.objects += 1
    _copy_database(source / _DATABASE, database)  # last: who sees it finds all else there
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
        """Copy a job's objects; False when it was deleted meanwhile."""
        while missing := [key for key in self._keys(job) if not self._take(key)]:
            try:
                now = self._live.get(job.id)
            except JobNotFound:
                return False
            if now.deleted:
                return False
            if now.version == job.version or now.objects == job.objects:
                self._copied.missing += tuple(set(missing) & set(job.objects.values()))
                break
            job = self._copy.update(job.id, lambda _, now=now: now).after  # type: ignore[misc]
        self._copied.jobs += 1
        return True

    def _keys(self, job: Job) -> set[str]:
        """What the record names, and what that names in turn: it lies in the job's folder."""
        return {*job.objects.values(), *self._source.keys(job.prefix)}

    def _take(self, key: str) -> bool:
        """Copy an object unless that was done; False when it is not there."""
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


# -- whole or not at all ---------------------------------------------------------------------


def _seal(folder: Path) -> None:
    """Say what the copy consists of; without it, it did not come to its end."""
    media = DiskMediaStore(folder / _MEDIA)
    keys = [*media.keys("jobs"), *media.keys(VOICES_FOLDER)]
    names = [_DATABASE, *(f"{_MEDIA}/{key}" for key in keys)]
    unfinished = folder / f"{_SUMS}.new"
    try:
        unfinished.write_text("".join(f"{_sum(folder / name)}  {name}\n" for name in names))
        unfinished.replace(folder / _SUMS)
    except OSError as error:
        raise StorageError(f"{folder} cannot be sealed: {error.strerror or error}.") from error


def _sealed(folder: Path) -> list[str]:
    """The keys of a copy's objects, after a look at every byte of it."""
    names = dict(_listed(folder))
    if _DATABASE not in names:
        raise StorageError(
            f"{folder} is no backup, or one that did not come to its end: it has no whole {_SUMS}."
        )
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
            f"The backup is not whole: {path} cannot be read: {error.strerror or error}. Nothing "
            "was put back; take another backup."
        ) from error
    if found != known:
        raise StorageError(
            f"The backup is not as it was made: {path} has other bytes. Nothing was put back; "
            "take another backup."
        )


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expect_nothing_in(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = next(folder.iterdir(), None)
    except OSError as error:
        raise StorageError(f"{folder} cannot be used: {error.strerror or error}.") from error
    if found is not None:
        raise StorageError(f"{folder} is not empty; name a folder of its own for each backup.")


def _copy_database(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as db,
            closing(sqlite3.connect(target)) as copy,
        ):
            db.backup(copy)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise StorageError(f"{source} cannot be copied to {target}: {error}.") from error
