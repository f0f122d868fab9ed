"""What happened to jobs lately, out of the job database."""

import sqlite3

from meet_transcriber.core.changes import CHANGES_KEPT, Changes

_NOTE = "INSERT OR REPLACE INTO changes (id, tenant) VALUES (?, ?)"
_FORGET = "DELETE FROM changes WHERE mark <= last_insert_rowid() - ?"


def note_change(db: sqlite3.Connection, job_id: str, tenant: str) -> None:
    """Remember that a job changed or went, in place of its change before."""
    db.execute(_NOTE, (job_id, tenant))
    db.execute(_FORGET, (CHANGES_KEPT,))


def mark(db: sqlite3.Connection) -> int:
    """The mark of the latest change, 0 before the first."""
    return int(db.execute("SELECT coalesce(max(mark), 0) FROM changes").fetchone()[0])


def changes(db: sqlite3.Connection, tenant: str, since: int) -> Changes:
    """What happened after a mark, as `JobStore.changes` promises it."""
    statement = "SELECT id FROM changes WHERE tenant = ? AND mark > ? ORDER BY mark"
    rows = db.execute(statement, (tenant, since)).fetchall()
    return Changes.since(since, mark(db), [row[0] for row in rows])
