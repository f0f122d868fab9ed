"""Backups beside somebody who deletes and works on."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.transitions import deleted
from meet_transcriber.stores.backups import back_up
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.sqlite import SqliteJobStore
from tests.contract.job_samples import job


class Busy(DiskMediaStore):
    """A store in which something happens right before an object is first read."""

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


def test_a_job_that_is_deleted_meanwhile_is_not_in_it(
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


def test_a_job_that_got_on_meanwhile_is_in_it_as_it_is_then(
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


def test_what_is_nowhere_is_named(tmp_path: Path, live: SqliteJobStore, media: Busy) -> None:
    made = kept(live, media)
    media.delete(made.prefix)
    records, _, missing = copied(tmp_path, media)
    with closing(records):
        assert records.get(made.id) == made
    assert missing == (made.objects["recording"],)
