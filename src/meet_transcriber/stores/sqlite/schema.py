"""The tables of the job database, their upgrades, and text as its full-text index stores it."""

import re
import sqlite3
import unicodedata
from collections.abc import Sequence

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.languages import is_spaceless

_APPLICATION_ID = 0x4D545242
"""Marks a file as ours: SQLite keeps the number for this purpose."""

_TABLES = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    # `doc` is the record. It comes last, so that reading the columns before it skips its pages;
    # those are derived from it (core.jobs.index_entry).
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        idempotency_key TEXT UNIQUE,
        tenant TEXT NOT NULL,
        state TEXT NOT NULL,
        listed INTEGER NOT NULL,
        active INTEGER NOT NULL,
        created_at REAL NOT NULL,
        due_at REAL,
        seconds_left REAL NOT NULL,
        stored_bytes INTEGER NOT NULL,
        folded_name BLOB NOT NULL,
        doc TEXT NOT NULL
    )
    """,
    "CREATE INDEX jobs_listed ON jobs (created_at, id) WHERE listed",
    "CREATE INDEX jobs_of_tenant ON jobs (tenant, created_at, id) WHERE listed",
    "CREATE INDEX jobs_in_state ON jobs (state, created_at) WHERE listed",
    "CREATE INDEX jobs_active ON jobs (state, seconds_left) WHERE active",
    "CREATE INDEX jobs_active_of_tenant ON jobs (tenant) WHERE active",
    "CREATE INDEX jobs_stored ON jobs (tenant, stored_bytes) WHERE stored_bytes > 0",
    "CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL",
    # `busy` and `served_at` are IndexEntry.order.
    """
    CREATE TABLE work (
        number INTEGER NOT NULL,
        queue TEXT NOT NULL,
        id TEXT NOT NULL,
        ready INTEGER NOT NULL,
        running INTEGER NOT NULL,
        busy INTEGER NOT NULL,
        served_at REAL NOT NULL,
        PRIMARY KEY (number, queue)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX work_ready ON work (queue, busy, served_at, id) WHERE ready > 0",
    # IndexEntry.audio; a row outlives its job.
    """
    CREATE TABLE audio (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, at REAL NOT NULL, seconds REAL NOT NULL
    )
    """,
    "CREATE INDEX audio_of_tenant ON audio (tenant, at)",
    "CREATE INDEX audio_age ON audio (at)",
    # The latest change of each job; a row outlives its job for a while.
    """
    CREATE TABLE changes (
        mark INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL
    )
    """,
    "CREATE INDEX changes_of_tenant ON changes (tenant, mark)",
    "CREATE TABLE workers (id TEXT PRIMARY KEY, until REAL NOT NULL, doc TEXT NOT NULL)",
    "CREATE TABLE locks (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL)",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE keys (id TEXT PRIMARY KEY, doc TEXT NOT NULL)",
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, until REAL NOT NULL, doc TEXT NOT NULL)",
    "CREATE INDEX sessions_over ON sessions (until)",
    # rowid is jobs.number. Text is folded by `searchable`, not by the tokenizer.
    """
    CREATE VIRTUAL TABLE texts USING fts5(
        text, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
    )
    """,
)

MIGRATIONS: Sequence[Sequence[str]] = (_TABLES,)
"""Statements that lead from schema version n to n + 1. Released ones are never edited."""


def migrate(db: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """
    Create or upgrade the tables, all or nothing.

    Raises:
        StorageError: the file holds a schema that this version does not know.
    """
    latest = len(migrations)
    if _version(db) == latest and _is_ours(db):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        if _version(db) or not _is_empty(db):
            check_version(db, latest)
        for statements in migrations[_version(db) :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {latest}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def check_version(db: sqlite3.Connection, latest: int = len(MIGRATIONS)) -> None:
    """Raise StorageError unless this version can read or upgrade the database."""
    version = _version(db)
    if not _is_ours(db):
        raise StorageError(
            f"The job database has the unknown schema {version}: no released version of this "
            "program wrote it. Set DATA_DIR to an empty folder."
        )
    if version > latest:
        raise StorageError(
            f"A newer version of this program wrote the job database: it has schema {version}, "
            f"and this version supports schemas up to {latest}. Install the newer version again, "
            "or restore a copy of the data folder from before the upgrade."
        )


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _is_ours(db: sqlite3.Connection) -> bool:
    return int(db.execute("PRAGMA application_id").fetchone()[0]) == _APPLICATION_ID


def _is_empty(db: sqlite3.Connection) -> bool:
    return not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]


# Case, accents and full-width forms are folded here and not by the index. Characters of scripts
# without spaces become words of their own, so that a query finds them as a phrase anywhere; so do
# Korean syllables, because particles are attached to words.
_ACCENTS = re.compile("[\u0300-\u036f]")
_HANGUL = range(0xAC00, 0xD7A4)


def searchable(text: str) -> str:
    """The text with words folded and apart from each other."""
    if text.isascii():
        return text.lower().replace("\0", " ")
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    whole = unicodedata.normalize("NFKC", bare).casefold().replace("\0", " ")
    spaced = "".join(f" {char} " if _stands_alone(char) else char for char in whole)
    return spaced.encode("utf-8", "replace").decode("utf-8")


def match_expression(query: str) -> str:
    """An FTS5 expression for all words of a query; empty when it has none."""
    phrases = [searchable(word) for word in query.split()]
    quoted = [f'"{phrase}"' for phrase in (_without_quotes(phrase) for phrase in phrases)]
    return " AND ".join(phrase for phrase in quoted if any(map(str.isalnum, phrase)))


def _stands_alone(char: str) -> bool:
    return not char.isascii() and (is_spaceless(char) or ord(char) in _HANGUL)


def _without_quotes(phrase: str) -> str:
    return " ".join(phrase.replace('"', " ").split())
