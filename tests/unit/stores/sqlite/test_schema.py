"""Databases are upgraded from one schema version to the next, all or nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from meet_transcriber.core.errors import StorageError
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from meet_transcriber.stores.sqlite.schema import MIGRATIONS, migrate
from tests.contract.job_samples import job

NEXT = (
    "ALTER TABLE jobs ADD COLUMN size_bytes INTEGER",
    "UPDATE jobs SET size_bytes = json_extract(doc, '$.size_bytes')",
)
BROKEN = ("CREATE TABLE b (x)", "CREATE TABLE jobs (x)")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database of this version that holds one job."""
    path = tmp_path / "jobs.sqlite3"
    with closing(SqliteJobStore(path)) as store:
        store.create(job(size_bytes=17))
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        yield made


def schema(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_database_gets_every_step() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, [*MIGRATIONS, NEXT])
        assert schema(db) == len(MIGRATIONS) + 1


def test_an_older_database_gets_the_steps_it_lacks_once(db: sqlite3.Connection) -> None:
    for _ in range(2):
        migrate(db, [*MIGRATIONS, NEXT])
    assert schema(db) == len(MIGRATIONS) + 1
    assert db.execute("SELECT size_bytes FROM jobs").fetchall() == [(17,)]


def test_a_step_that_fails_leaves_the_database_as_it_was(db: sqlite3.Connection) -> None:
    tables = db.execute("SELECT name FROM sqlite_schema").fetchall()
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(db, [*MIGRATIONS, BROKEN])
    assert schema(db) == len(MIGRATIONS)
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == tables


def test_a_newer_database_is_refused(db: sqlite3.Connection) -> None:
    migrate(db, [*MIGRATIONS, NEXT])
    with pytest.raises(StorageError, match="schema 2, and this version supports schemas up to 1"):
        migrate(db)
    assert schema(db) == 2


def test_a_database_of_another_program_is_refused() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE jobs (id TEXT)")
        with pytest.raises(StorageError, match="unknown schema 0"):
            migrate(db)
