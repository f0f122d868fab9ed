"""A JobStore and a KeyStore in one SQLite file."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from meet_transcriber.core.auth import ApiKey, Session
from meet_transcriber.core.errors import JobNotFound, KeyNotFound, StorageError, StorageUnavailable
from meet_transcriber.core.jobs import (
    CHANGES_KEPT,
    Backlog,
    Changes,
    Job,
    JobQuery,
    Usage,
    index_entry,
    unique,
)
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.ports.stores import Capacity, Updated
from meet_transcriber.stores.base import dump, folded, load
from meet_transcriber.stores.disk import disk_capacity
from meet_transcriber.stores.sqlite.database import Connections, match_expression, searchable

BUSY_SECONDS = 10.0
_UNSTEADY_SECONDS = 1.0
"""Of two concurrent callers the later one may have read the clock earlier."""
_REMEMBERED_SECONDS = 2 * 24 * 3600.0
"""How long submitted audio, and when a tenant was served, is remembered at least."""

_INSERT = """
    INSERT INTO jobs (version, idempotency_key, state, listed, active, created_at, due_at,
                      seconds_left, folded_name, tenant, stored_bytes, doc, id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE = """
    UPDATE jobs SET version = ?, idempotency_key = ?, state = ?, listed = ?, active = ?,
                    created_at = ?, due_at = ?, seconds_left = ?, folded_name = ?,
                    tenant = ?, stored_bytes = ?, doc = ?
    WHERE id = ?
"""


_NOTE_AUDIO = """
    INSERT INTO audio VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET seconds = excluded.seconds WHERE seconds <> excluded.seconds
"""
_USAGE = """
    SELECT (SELECT count(*) FROM jobs WHERE active AND tenant = ?1),
           coalesce((SELECT bytes FROM stored WHERE tenant = ?1), 0),
           (SELECT coalesce(sum(seconds), 0) FROM audio WHERE tenant = ?1 AND at >= ?2),
           (SELECT min(at) FROM audio WHERE tenant = ?1 AND at >= ?2),
           (SELECT count(*) FROM jobs
            WHERE tenant = ?1 AND state = 'uploading' AND NOT active AND stored_bytes > 0)
"""
_READY = """
    WITH waiting AS (
        SELECT tenant, id, busy, served_at,
               row_number() OVER (PARTITION BY tenant ORDER BY busy, served_at, id) AS turn
        FROM work WHERE claim_queue IN ({}) AND ready > 0 GROUP BY number
    ), loads AS (
        SELECT tenant, sum(running) AS running FROM work WHERE running > 0 GROUP BY tenant
    )
    SELECT id FROM waiting LEFT JOIN loads USING (tenant) LEFT JOIN served USING (tenant)
    ORDER BY turn, coalesce(running, 0), coalesce(at, 0), busy, waiting.served_at, id LIMIT ?
"""
_NOTE_SERVED = """
    INSERT INTO served VALUES (?, ?) ON CONFLICT (tenant) DO UPDATE SET at = excluded.at
    WHERE excluded.at > at
"""
_MARK = "SELECT coalesce(max(mark), 0) AS mark FROM changes"
# One statement, so that no change is written between the mark and the jobs.
_CHANGES = f"""
    SELECT latest.mark, changes.id FROM ({_MARK}) AS latest
    LEFT JOIN changes ON changes.tenant = ? AND changes.mark > ? ORDER BY changes.mark
"""  # noqa: S608 - our own words


class SqliteJobStore:
    """
    Stores all jobs in the file `path`, for any number of threads and processes.

    Every change is flushed to the disk before it returns.

    Args:
        busy_seconds: how long to wait for another writer before StorageUnavailable.
        most_bytes: size at which the file stops growing and StorageFull is raised; None
            leaves that to the disk.
    """

    def __init__(
        self, path: Path, busy_seconds: float = BUSY_SECONDS, most_bytes: int | None = None
    ) -> None:
        self._path = path
        self._connections = Connections(path, busy_seconds, most_bytes)
        self._reading, self._writing = self._connections.reading, self._connections.writing
        self._row, self._rows = self._connections.row, self._connections.rows
        self._change = self._connections.write
        self.keys = SqliteKeyStore(self._connections)

    # -- records -----------------------------------------------------------------------------

    def create(self, job: Job) -> Job:
        with self._writing() as db:
            if found := _with_key(db, job.unique_key):
                return found
            job = replace(job, version=1)
            try:
                _write(db, _INSERT, job)
            except sqlite3.IntegrityError as error:
                raise StorageError(f"There is a job {job.id} already.") from error
        return job

    def get(self, job_id: str) -> Job:
        with self._reading() as db:
            return _record(db, job_id)

    def version(self, job_id: str) -> int:
        row = self._row("SELECT version FROM jobs WHERE id = ?", job_id)
        return int(_found(row, job_id)[0])

    def update(self, job_id: str, change: Callable[[Job], Job]) -> Updated:
        with self._writing() as db:
            old = _record(db, job_id)
            new = change(old)
            if new is old:
                return Updated(old, old)
            # Here and not in `change`, so that no change can forget it.
            new = replace(new, version=old.version + 1)
            try:
                _write(db, _UPDATE, new)
            except sqlite3.IntegrityError as error:
                raise StorageError(f"Another job has the idempotency key of {job_id}.") from error
        return Updated(old, new)

    def remove(self, job_id: str) -> None:
        with self._writing() as db:
            row = db.execute("SELECT number, tenant FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row is None:
                return
            number, tenant = row
            _note_change(db, job_id, tenant)
            for statement in (
                "DELETE FROM texts WHERE rowid = ?",
                "DELETE FROM work WHERE number = ?",
                "DELETE FROM jobs WHERE number = ?",
            ):
                db.execute(statement, (number,))

    def find_by_key(self, idempotency_key: str, tenant: str = "") -> Job | None:
        with self._reading() as db:
            return _with_key(db, unique(tenant, idempotency_key))

    # -- indexes -----------------------------------------------------------------------------

    def ready(self, queues: Sequence[str], limit: int) -> list[str]:
        statement = _READY.format(", ".join("?" * len(queues)))
        return [row[0] for row in self._rows(statement, *queues, limit)]

    def due(self, now: float, limit: int) -> list[str]:
        statement = "SELECT id FROM jobs WHERE due_at <= ? ORDER BY due_at, id LIMIT ?"
        return [row[0] for row in self._rows(statement, now, limit)]

    def page(self, query: JobQuery) -> list[Job]:
        with self._reading() as db:
            statement, values = _page_statement(query, _cursor(db, query))
            docs = db.execute(statement, values).fetchall()
        return [load(Job, doc) for (doc,) in docs]

    def count_ahead(self, job: Job) -> int:
        statement = """
            SELECT count(*) FROM jobs WHERE listed AND state = 'pending' AND created_at < ?
        """
        return int(self._row(statement, job.created_at)[0])

    def mark(self) -> int:
        return int(self._row(_MARK)[0])

    def changes(self, tenant: str, since: int) -> Changes:
        rows = self._rows(_CHANGES, tenant, since)
        job_ids = [job_id for _, job_id in rows if job_id is not None]
        return Changes.since(since, int(rows[0][0]), job_ids)

    def backlog(self) -> Backlog:
        sums = "count(*), sum(seconds_left), min(created_at)"
        by_state = f"SELECT state, {sums} FROM jobs WHERE active GROUP BY 1"  # noqa: S608 - our own words
        waits = "min(CASE WHEN ready > 0 THEN served_at END)"
        by_queue = f"SELECT queue, sum(ready), sum(running), {waits} FROM work GROUP BY 1"  # noqa: S608 - our own words
        states, queues = self._rows(by_state), self._rows(by_queue)
        return Backlog(
            ready={queue: ready for queue, ready, _, _ in queues if ready},
            running={queue: running for queue, _, running, _ in queues if running},
            jobs={state: jobs for state, jobs, _, _ in states},
            seconds_left=sum(seconds for _, _, seconds, _ in states),
            waiting_since={queue: since for queue, *_, since in queues if since is not None},
            oldest_at=min((at for state, *_, at in states if state != "uploading"), default=None),
        )

    def usage(self, tenant: str, since: float) -> Usage:
        return Usage(*self._row(_USAGE, tenant, since))

    # -- workers, locks, facts ---------------------------------------------------------------

    def put_worker(self, worker: WorkerInfo, seconds: float) -> None:
        row = (worker.id, worker.seen_at + seconds, dump(worker))
        with self._writing() as db:
            db.execute("DELETE FROM workers WHERE until <= ?", (worker.seen_at,))
            db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?)", row)

    def remove_worker(self, worker_id: str) -> None:
        self._change("DELETE FROM workers WHERE id = ?", worker_id)

    def workers(self, now: float) -> list[WorkerInfo]:
        rows = self._rows("SELECT doc FROM workers WHERE until > ? ORDER BY id", now)
        return [load(WorkerInfo, doc) for (doc,) in rows]

    def lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        statement = """
            INSERT INTO locks VALUES (?, ?, ?)
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
            WHERE holder = excluded.holder OR until <= ? OR until > ?
        """
        until = now + seconds  # later ones mean that the clock was set back
        values = (name, holder, until, now, until + _UNSTEADY_SECONDS)
        return self._change(statement, *values) == 1

    def extend_lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        # whoever took the lock after it expired has put another holder here, or removed the row
        statement = "UPDATE locks SET until = ? WHERE name = ? AND holder = ?"
        return self._change(statement, now + seconds, name, holder) == 1

    def unlock(self, name: str, holder: str) -> None:
        self._change("DELETE FROM locks WHERE name = ? AND holder = ?", name, holder)

    def set_fact(self, name: str, value: str) -> None:
        self._change("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, value)

    def set_fact_once(self, name: str, value: str) -> str:
        self._change("INSERT OR IGNORE INTO facts VALUES (?, ?)", name, value)
        return self.get_fact(name) or value

    def get_fact(self, name: str) -> str | None:
        row = self._row("SELECT value FROM facts WHERE name = ?", name)
        return row and str(row[0])

    # -- full text ---------------------------------------------------------------------------

    def put_text(self, job_id: str, text: str) -> None:
        words = searchable(text)  # before other writers wait
        with self._writing() as db:
            number = _number(db, job_id)
            if number is not None:
                db.execute("DELETE FROM texts WHERE rowid = ?", (number,))
                db.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (number, words))

    def find_text(self, query: str, limit: int, tenant: str | None = None) -> list[str]:
        expression = match_expression(query)
        if not expression:
            return []
        statement = """
            SELECT id FROM texts JOIN jobs ON number = texts.rowid
            WHERE texts MATCH ? AND listed AND (? IS NULL OR tenant = ?) ORDER BY rank LIMIT ?
        """
        return [row[0] for row in self._rows(statement, expression, tenant, tenant, limit)]

    # -- the store itself --------------------------------------------------------------------

    def capacity(self) -> Capacity | None:
        try:
            return disk_capacity(self._path.parent)
        except OSError as error:
            raise StorageUnavailable(f"The disk of {self._path} does not answer.") from error

    def ping(self) -> None:
        self._row("SELECT count(*) FROM sqlite_schema")

    def close(self) -> None:
        self._connections.close()


def _write(db: sqlite3.Connection, statement: str, job: Job) -> None:
    """Write a record and its index entries."""
    entry = index_entry(job)
    lookup = (entry.state, entry.listed, entry.active, entry.created_at, entry.due_at)
    kept = (entry.seconds_left, folded(job.name), job.tenant, entry.stored_bytes)
    db.execute(statement, (job.version, job.unique_key, *lookup, *kept, dump(job), job.id))
    if entry.audio is not None:
        at, seconds = entry.audio
        # Old rows are deleted only with a new one, so that other writes cost nothing here.
        if db.execute(_NOTE_AUDIO, (job.id, job.tenant, at, seconds)).rowcount:
            db.execute("DELETE FROM audio WHERE at < ?", (at - _REMEMBERED_SECONDS,))
    _note_change(db, job.id, job.tenant)
    number = _number(db, job.id)
    # Written anew, as a job has a row or two; an update would have to find out which changed.
    db.execute("DELETE FROM work WHERE number = ?", (number,))
    for queue in {*entry.ready, *entry.running}:
        counts = (entry.ready.get(queue, 0), entry.running.get(queue, 0))
        names = (queue, entry.claim_queue(queue), job.id, job.tenant)
        row = (number, *names, *counts, *entry.order)
        db.execute("INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    if entry.served_at and db.execute(_NOTE_SERVED, (job.tenant, entry.served_at)).rowcount:
        db.execute("DELETE FROM served WHERE at < ?", (entry.served_at - _REMEMBERED_SECONDS,))


def _note_change(db: sqlite3.Connection, job_id: str, tenant: str) -> None:
    """Record a job's change or removal in place of its previous change."""
    db.execute("INSERT OR REPLACE INTO changes (id, tenant) VALUES (?, ?)", (job_id, tenant))
    db.execute("DELETE FROM changes WHERE mark <= last_insert_rowid() - ?", (CHANGES_KEPT,))


def _found(row: tuple[Any, ...] | None, job_id: str) -> tuple[Any, ...]:
    if row is None:
        raise JobNotFound(f"There is no job {job_id}.")
    return row


def _number(db: sqlite3.Connection, job_id: str) -> int | None:
    row = db.execute("SELECT number FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return row and int(row[0])


def _record(db: sqlite3.Connection, job_id: str) -> Job:
    row = db.execute("SELECT doc FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return load(Job, str(_found(row, job_id)[0]))


def _with_key(db: sqlite3.Connection, key: str | None) -> Job | None:
    row = db.execute("SELECT doc FROM jobs WHERE idempotency_key = ?", (key,)).fetchone()
    return row and load(Job, row[0])


def _cursor(db: sqlite3.Connection, query: JobQuery) -> tuple[Any, ...] | None:
    if query.after is None:
        return None
    statement = "SELECT created_at, id FROM jobs WHERE id = ? AND (? IS NULL OR tenant = ?)"
    row = db.execute(statement, (query.after, query.tenant, query.tenant)).fetchone()
    return _found(row, query.after)


def _page_statement(query: JobQuery, cursor: tuple[Any, ...] | None) -> tuple[str, list[object]]:
    """The statement that reads a page, and its values."""
    where, values = ["listed"], list[object]()
    if query.tenant is not None:
        where.append("tenant = ?")
        values.append(query.tenant)
    if query.states:
        where.append(f"state IN ({', '.join('?' * len(query.states))})")
        values += query.states
    if query.name:
        where.append("instr(folded_name, ?) > 0")
        values.append(folded(query.name))
    if cursor:
        where.append(f"(created_at, id) {'>' if query.order == 'asc' else '<'} (?, ?)")
        values += cursor
    direction = "ASC" if query.order == "asc" else "DESC"
    statement = (
        f"SELECT doc FROM jobs WHERE {' AND '.join(where)} "  # noqa: S608 - no value is in it
        f"ORDER BY created_at {direction}, id {direction} LIMIT ?"
    )
    return statement, [*values, max(query.limit, 0)]


class SqliteKeyStore:
    """Keys and sessions beside the jobs, for any number of threads and processes."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def put_key(self, key: ApiKey) -> None:
        with self._connections.writing() as db:
            try:
                db.execute("INSERT INTO keys VALUES (?, ?)", (key.id, dump(key)))
            except sqlite3.IntegrityError as error:
                raise StorageError(f"There is a key {key.id} already.") from error

    def find_key(self, key_id: str) -> ApiKey | None:
        (found,) = self.find_keys([key_id])
        return found

    def find_keys(self, key_ids: Sequence[str]) -> list[ApiKey | None]:
        with self._connections.reading() as db:
            rows = [
                db.execute("SELECT doc FROM keys WHERE id = ?", (key_id,)).fetchone()
                for key_id in key_ids
            ]
        return [row and load(ApiKey, row[0]) for row in rows]

    def change_key(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        with self._connections.writing() as db:
            row = db.execute("SELECT doc FROM keys WHERE id = ?", (key_id,)).fetchone()
            if row is None:
                raise KeyNotFound(f"There is no key {key_id[:40]}.")
            key = change(load(ApiKey, row[0]))
            db.execute("UPDATE keys SET doc = ? WHERE id = ?", (dump(key), key_id))
        return key

    def all_keys(self) -> list[ApiKey]:
        found = [load(ApiKey, doc) for (doc,) in self._connections.rows("SELECT doc FROM keys")]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    def put_session(self, session: Session, now: float) -> None:
        row = (session.id, session.until, dump(session))
        with self._connections.writing() as db:
            db.execute("DELETE FROM sessions WHERE until <= ?", (now,))
            db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", row)

    def find_session(self, session_id: str, now: float) -> Session | None:
        statement = "SELECT doc FROM sessions WHERE id = ? AND until > ?"
        row = self._connections.row(statement, session_id, now)
        return row and load(Session, row[0])

    def drop_session(self, session_id: str) -> None:
        self._connections.write("DELETE FROM sessions WHERE id = ?", session_id)
