"""Backups while jobs are deleted and changed."""

import hashlib
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from meet_transcriber.core.errors import JobNotFound, StorageError
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.transitions import deleted
from meet_transcriber.stores.backup import back_up, put_back
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.contract.job_samples import job


class Busy(DiskMediaStore):
    """A store that calls a function before an object is first read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before: Callable[[], object] = lambda: None

    def open(self, key: str) -> BinaryIO:
        before, self.before = self.before, lambda: None
        before()
        return super().open(key)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[SqliteJobStore]:
    with closing(SqliteJobStore(tmp_path / "jobs.sqlite3")) as store:
        yield store


@pytest.fixture
def media(tmp_path: Path) -> Busy:
    return Busy(tmp_path / "media")


def kept(live: SqliteJobStore, media: Busy) -> Job:
    made = job()
    made = replace(made, objects={"recording": f"{made.prefix}/recording"})
    media.put(made.objects["recording"], b"sound")
    return live.create(made)


def copied(tmp_path: Path, media: Busy) -> tuple[SqliteJobStore, DiskMediaStore, tuple[str, ...]]:
    missing = back_up(tmp_path / "jobs.sqlite3", media, tmp_path / "copy").missing
    copy = tmp_path / "copy"
    return SqliteJobStore(copy / "jobs.sqlite3"), DiskMediaStore(copy / "media"), missing


def test_a_job_deleted_during_the_backup_is_left_out(
    tmp_path: Path, live: SqliteJobStore, media: Busy
) -> None:
    made = kept(live, media)

    def delete() -> None:
        live.update(made.id, lambda job: deleted(job, 1.0))
        media.delete(made.prefix)

    media.before = delete
    records, objects, missing = copied(tmp_path, media)
    with closing(records), pytest.raises(JobNotFound):
        records.get(made.id)
    assert (objects.keys("jobs"), missing) == ([], ())


def test_a_job_changed_during_the_backup_is_copied_as_changed(
    tmp_path: Path, live: SqliteJobStore, media: Busy
) -> None:
    made = kept(live, media)
    newer = f"{made.prefix}/working.flac.1"

    def get_on() -> None:
        media.put(newer, b"flac")
        live.update(made.id, lambda job: replace(job, objects={"working.flac": newer}))
        media.delete(made.objects["recording"])

    media.before = get_on
    records, objects, missing = copied(tmp_path, media)
    with closing(records):
        assert records.get(made.id).objects == {"working.flac": newer}
    assert (objects.get(newer), missing) == (b"flac", ())


def test_missing_objects_are_named(tmp_path: Path, live: SqliteJobStore, media: Busy) -> None:
    made = kept(live, media)
    media.delete(made.prefix)
    records, _, missing = copied(tmp_path, media)
    with closing(records):
        assert records.get(made.id) == made
    assert missing == (made.objects["recording"],)


def _newer(copy: Path) -> None:
    database = copy / "jobs.sqlite3"
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA user_version = 99")
    sums = copy / "SHA256SUMS"
    known = hashlib.sha256(database.read_bytes()).hexdigest()
    sums.write_text(re.sub(r"\w+(?=  jobs.sqlite3)", known, sums.read_text()))


def _shorten(copy: Path) -> None:
    (recording,) = copy.rglob("recording")
    recording.write_bytes(recording.read_bytes()[:-1])


def _flip(copy: Path) -> None:
    database = copy / "jobs.sqlite3"
    data = bytearray(database.read_bytes())
    data[-1] ^= 1
    database.write_bytes(data)


def _lead_out(copy: Path) -> None:
    (copy.parent / "secret").write_bytes(b"")
    with (copy / "SHA256SUMS").open("a") as sums:
        sums.write(f"{hashlib.sha256().hexdigest()}  media/../../secret\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_newer, "A newer version of this program wrote"),
        (_shorten, "checksum of .*recording does not match"),
        (_flip, "checksum of .*jobs.sqlite3 does not match"),
        (_lead_out, "is not a valid key"),
        (lambda copy: shutil.rmtree(copy / "media"), "recording cannot be read: No such file"),
        (lambda copy: (copy / "SHA256SUMS").unlink(), "is not a complete backup"),
        (lambda copy: (copy / "SHA256SUMS").write_bytes(b"\xff"), "cannot be read"),
    ],
)
def test_an_incomplete_backup_restores_nothing(
    tmp_path: Path,
    live: SqliteJobStore,
    media: Busy,
    spoil: Callable[[Path], object],
    words: str,
) -> None:
    kept(live, media)
    back_up(tmp_path / "jobs.sqlite3", media, tmp_path / "copy")
    spoil(tmp_path / "copy")
    new = tmp_path / "new"
    with pytest.raises(StorageError, match=words):
        put_back(tmp_path / "copy", new / "jobs.sqlite3", DiskMediaStore(new / "media"))
    assert not new.exists()
