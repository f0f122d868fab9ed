"""The tables of the job database, and how older files become newer ones."""

import sqlite3
from collections.abc import Sequence

from meet_transcriber.core.errors import StorageError

_TABLES = (
    # `doc` is the record and comes last, so that what lies before it is read without it;
    # the other columns are derived from it (core.jobs.index_entry).
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        idempotency_key TEXT UNIQUE,
        state TEXT NOT NULL,
        listed INTEGER NOT NULL,
        active INTEGER NOT NULL,
        created_at REAL NOT NULL,
        due_at REAL,
        seconds_left REAL NOT NULL,
        folded_name BLOB NOT NULL,
        doc TEXT NOT NULL
    )
    """,
    "CREATE INDEX jobs_listed ON jobs (created_at, id) WHERE listed",
    "CREATE INDEX jobs_in_state ON jobs (state, created_at) WHERE listed",
    "CREATE INDEX jobs_active ON jobs (state, seconds_left) WHERE active",
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
    "CREATE TABLE workers (id TEXT PRIMARY KEY, until REAL NOT NULL, doc TEXT NOT NULL)",
    "CREATE TABLE locks (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL)",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # Its rows have the numbers of jobs. Folding is done in stores.words.
    """
    CREATE VIRTUAL TABLE texts USING fts5(
        text, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
    )
    """,
)

_TENANTS = (
    "ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX jobs_of_tenant ON jobs (tenant, created_at, id) WHERE listed",
    "CREATE TABLE keys (id TEXT PRIMARY KEY, doc TEXT NOT NULL)",
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, until REAL NOT NULL, doc TEXT NOT NULL)",
    "CREATE INDEX sessions_over ON sessions (until)",
)

_QUOTAS = (
    "ALTER TABLE jobs ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX jobs_active_of_tenant ON jobs (tenant) WHERE active",
    "CREATE INDEX jobs_stored ON jobs (tenant, stored_bytes) WHERE stored_bytes > 0",
    """
    UPDATE jobs SET stored_bytes = coalesce(json_extract(doc, '$.size_bytes'), 0)
    WHERE json_extract(doc, '$.objects.recording') IS NOT NULL AND listed
    """,
    # IndexEntry.audio; a row outlives its job.
    "CREATE TABLE audio (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, at REAL NOT NULL, "
    "seconds REAL NOT NULL)",
    "CREATE INDEX audio_of_tenant ON audio (tenant, at)",
    "CREATE INDEX audio_age ON audio (at)",
)

_CHANGES = (
    # The latest change of each job; a row outlives its job for a while.
    "CREATE TABLE changes (mark INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    "tenant TEXT NOT NULL)",
    "CREATE INDEX changes_of_tenant ON changes (tenant, mark)",
)

MIGRATIONS: Sequence[Sequence[str]] = (_TABLES, _TENANTS, _QUOTAS, _CHANGES)
"""Statements that lead from schema n to n + 1. What was released is never edited."""


def migrate(db: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """
    Bring a file, new or of an older version, to the latest schema, whole or not at all.

    Raises:
        StorageError: a newer version wrote the file.
    """
    latest = len(migrations)
    if _schema(db) == latest:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        refuse_newer(db, latest)
        for statements in migrations[_schema(db) :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {latest}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _schema(db: sqlite3.Connection) -> int:
    (number,) = db.execute("PRAGMA user_version").fetchone()
    return int(number)


def refuse_newer(db: sqlite3.Connection, latest: int = len(MIGRATIONS)) -> None:
    """Raise StorageError where a newer version wrote the file."""
    schema = _schema(db)
    if schema > latest:
        raise StorageError(
            f"A newer version of this program wrote the job database: it has schema {schema}, "
            f"and this version knows up to {latest}. Install the newer version again, or put "
            "back the copy of the data folder from before the upgrade."
        )
