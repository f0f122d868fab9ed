"""Older files become newer ones, whole or not at all."""

import sqlite3
from collections.abc import Iterator

import pytest

from meet_transcriber.core.errors import StorageError
from meet_transcriber.stores.sqlite.schema import MIGRATIONS, migrate

FIRST = ("CREATE TABLE a (x)",)
SECOND = ("ALTER TABLE a ADD COLUMN y", "INSERT INTO a VALUES (1, 2)")
BROKEN = ("CREATE TABLE b (x)", "CREATE TABLE a (x)")


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    yield made
    made.close()


def schema(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_file_gets_every_step(db: sqlite3.Connection) -> None:
    migrate(db, [FIRST, SECOND])
    assert schema(db) == 2
    assert db.execute("SELECT * FROM a").fetchall() == [(1, 2)]


def test_an_older_file_gets_the_steps_it_lacks_once(db: sqlite3.Connection) -> None:
    migrate(db, [FIRST])
    for _ in range(2):
        migrate(db, [FIRST, SECOND])
    assert schema(db) == 2
    assert db.execute("SELECT count(*) FROM a").fetchone() == (1,)


def test_a_step_that_fails_leaves_the_file_as_it_was(db: sqlite3.Connection) -> None:
    migrate(db, [FIRST])
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(db, [FIRST, BROKEN])
    assert schema(db) == 1
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("a",)]


def test_a_newer_file_is_refused(db: sqlite3.Connection) -> None:
    migrate(db, [FIRST, SECOND])
    with pytest.raises(StorageError, match="schema 2, and this version knows up to 1"):
        migrate(db, [FIRST])
    assert schema(db) == 2


def test_the_tables_of_this_version_are_made(db: sqlite3.Connection) -> None:
    migrate(db)
    assert schema(db) == len(MIGRATIONS)
