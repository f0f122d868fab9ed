"""What tenants have, out of the job database."""

import sqlite3

from meet_transcriber.core.jobs import IndexEntry, Usage

REMEMBERED_SECONDS = 2 * 24 * 3600.0

_NOTE = """
    INSERT INTO audio VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET seconds = excluded.seconds WHERE seconds <> excluded.seconds
"""
_USAGE = """
    SELECT (SELECT count(*) FROM jobs WHERE active AND tenant = :tenant),
           (SELECT coalesce(sum(stored_bytes), 0) FROM jobs
            WHERE tenant = :tenant AND stored_bytes > 0),
           (SELECT coalesce(sum(seconds), 0) FROM audio WHERE tenant = :tenant AND at >= :since),
           (SELECT min(at) FROM audio WHERE tenant = :tenant AND at >= :since)
"""


def note_audio(db: sqlite3.Connection, job_id: str, entry: IndexEntry) -> None:
    """Remember what was submitted, and forget what was long ago; the same again changes nothing."""
    if entry.audio is None:
        return
    at, seconds = entry.audio
    if db.execute(_NOTE, (job_id, entry.tenant, at, seconds)).rowcount:
        db.execute("DELETE FROM audio WHERE at < ?", (at - REMEMBERED_SECONDS,))


def usage(db: sqlite3.Connection, tenant: str, since: float) -> Usage:
    """What a tenant has, as `JobStore.usage` promises it."""
    return Usage(*db.execute(_USAGE, {"tenant": tenant, "since": since}).fetchone())
