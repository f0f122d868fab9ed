"""Files that hold jobs and secrets are readable by their owner only, in any folder."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Options
from meet_transcriber.queues.embedded import WorkerSupervisor
from meet_transcriber.stores.backup import back_up, put_back
from meet_transcriber.stores.disk import DiskMediaStore, make_private
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that all may read, under a umask that hides nothing."""
    before = os.umask(0)
    tmp_path.chmod(0o755)
    yield tmp_path
    os.umask(before)


def public(folder: Path) -> list[str]:
    """Files below a folder that others may read."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return [path.name for path in found if path.stat().st_mode & 0o077]


def make_jobs(folder: Path) -> tuple[Path, DiskMediaStore]:
    media = DiskMediaStore(folder / "media")
    media.put("jobs/j/recording", b"speech")
    with closing(SqliteJobStore(folder / "jobs.sqlite3")) as jobs:
        jobs.create(Job("j", Options(), objects={"recording": "jobs/j/recording"}))
    return folder / "jobs.sqlite3", media


def test_the_database_and_its_log_are_private(folder: Path) -> None:
    with closing(SqliteJobStore(folder / "jobs.sqlite3")) as jobs:
        jobs.create(Job("j", Options()))
        assert len(list(folder.iterdir())) == 3
        assert public(folder) == []


def test_a_backup_into_an_existing_folder_is_private(folder: Path) -> None:
    live, target, restored = folder / "live", folder / "target", folder / "restored"
    for each in (live, target, restored):
        each.mkdir()
    back_up(*make_jobs(live), target)
    assert {"jobs.sqlite3", "SHA256SUMS"} < {path.name for path in target.iterdir()} | {"media"}
    put_back(target, restored / "jobs.sqlite3", DiskMediaStore(restored / "media"))
    assert public(folder) == []


def test_the_lock_of_the_worker_is_private(folder: Path) -> None:
    lock = folder / "worker.lock"
    supervisor = WorkerSupervisor(lambda _: ["sleep", "60"], lock)
    supervisor.start(lambda _: None)
    while not lock.exists():
        time.sleep(0.001)
    supervisor.close()
    assert public(folder) == []


def test_an_existing_file_stays_as_it_is(folder: Path) -> None:
    path = folder / "jobs.sqlite3"
    path.write_bytes(b"data")
    make_private(path)
    assert (path.read_bytes(), [each.name for each in folder.iterdir()]) == (b"data", [path.name])
