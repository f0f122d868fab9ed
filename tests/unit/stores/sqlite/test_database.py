"""Schema upgrades are all or nothing; words are folded the same way in texts and queries."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meet_transcriber.core.errors import StorageError
from meet_transcriber.stores.sqlite.database import (
    MIGRATIONS,
    Connections,
    match_expression,
    migrate,
    searchable,
)
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
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


def test_a_new_database_gets_every_migration() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, [*MIGRATIONS, NEXT])
        assert schema(db) == len(MIGRATIONS) + 1


def test_an_older_database_gets_the_missing_migrations_once(db: sqlite3.Connection) -> None:
    for _ in range(2):
        migrate(db, [*MIGRATIONS, NEXT])
    assert schema(db) == len(MIGRATIONS) + 1
    assert db.execute("SELECT size_bytes FROM jobs").fetchall() == [(17,)]


def test_a_failed_migration_changes_nothing(db: sqlite3.Connection) -> None:
    tables = db.execute("SELECT name FROM sqlite_schema").fetchall()
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(db, [*MIGRATIONS, BROKEN])
    assert schema(db) == len(MIGRATIONS)
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == tables


def test_a_newer_database_is_refused(db: sqlite3.Connection) -> None:
    migrate(db, [*MIGRATIONS, NEXT])
    known = len(MIGRATIONS)
    with pytest.raises(StorageError, match=f"schema {known + 1}, and this .* up to {known}"):
        migrate(db)
    assert schema(db) == known + 1


def test_a_database_of_another_program_is_refused() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE jobs (id TEXT)")
        with pytest.raises(StorageError, match="unknown schema 0"):
            migrate(db)


def test_a_connection_in_use_is_closed_afterwards(tmp_path: Path) -> None:
    connections = Connections(tmp_path / "jobs.sqlite3", 1.0, None)
    with ThreadPoolExecutor(1) as pool:
        with connections.writing() as db:
            closing_all = pool.submit(connections.close)
            with pytest.raises(TimeoutError):
                closing_all.result(0.1)
            db.execute("INSERT INTO served VALUES ('ann', 1)")
        closing_all.result(5)
    assert connections.rows("SELECT tenant FROM served") == [("ann",)]
    connections.close()


# -- full text -----------------------------------------------------------------------------------


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db)
    yield db
    db.close()


def found(db: sqlite3.Connection, text: str, query: str) -> bool:
    db.execute("DELETE FROM texts")
    db.execute("INSERT INTO texts VALUES (?)", (searchable(text),))
    expression = match_expression(query)
    if not expression:
        return False
    rows = db.execute("SELECT count(*) FROM texts WHERE texts MATCH ?", (expression,))
    return bool(rows.fetchone() == (1,))


ANY_TEXT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.text(), st.text())
@ANY_TEXT
def test_no_query_breaks_the_syntax(index: sqlite3.Connection, text: str, query: str) -> None:
    assert found(index, text, query) in (True, False)


LETTERS = st.characters(categories=["Lu", "Ll", "Lo", "Nd"], max_codepoint=0xFFFF)


@given(st.lists(st.text(LETTERS, min_size=1, max_size=5), min_size=1, max_size=5))
@ANY_TEXT
def test_every_word_of_a_text_finds_it(index: sqlite3.Connection, words: list[str]) -> None:
    for word in words:
        assert found(index, " ".join(words), word)


def test_a_query_of_punctuation_has_no_words() -> None:
    assert match_expression("?! \u0301 \" '") == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ZOË's Café", "zoe's cafe"),
        ("ＡＢＣ　１２", "abc 12"),
        ("会议ok", " 会  议 ok"),
        ("시작", " 시  작 "),
        ("Größe", "grosse"),
        ("a\0b", "a b"),
    ],
)
def test_case_accents_and_width_are_ignored(text: str, words: str) -> None:
    assert searchable(text) == words
