"""Connections to one SQLite file from any thread of any process, its tables and its text index."""

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from meet_transcriber.core.errors import StorageError, StorageFull, StorageUnavailable
from meet_transcriber.core.languages import fold, is_spaceless
from meet_transcriber.stores.disk import make_private

_APPLICATION_ID = 0x4D545242
"""Marks a file as ours: SQLite keeps the number for this purpose."""

_ADD_STORED = """
    INSERT INTO stored VALUES (new.tenant, {})
    ON CONFLICT (tenant) DO UPDATE SET bytes = bytes + excluded.bytes;
"""
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
    """
    CREATE INDEX jobs_uploads ON jobs (tenant)
        WHERE state = 'uploading' AND NOT active AND stored_bytes > 0
    """,
    "CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL",
    # The sum of jobs.stored_bytes of each tenant.
    "CREATE TABLE stored (tenant TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
    f"""
    CREATE TRIGGER stored_added AFTER INSERT ON jobs WHEN new.stored_bytes <> 0
    BEGIN {_ADD_STORED.format("new.stored_bytes")} END
    """,
    f"""
    CREATE TRIGGER stored_changed AFTER UPDATE OF stored_bytes ON jobs
    WHEN new.stored_bytes <> old.stored_bytes
    BEGIN {_ADD_STORED.format("new.stored_bytes - old.stored_bytes")} END
    """,
    """
    CREATE TRIGGER stored_removed AFTER DELETE ON jobs WHEN old.stored_bytes <> 0
    BEGIN UPDATE stored SET bytes = bytes - old.stored_bytes WHERE tenant = old.tenant; END
    """,
    # `busy` and `served_at` are IndexEntry.order.
    """
    CREATE TABLE work (
        number INTEGER NOT NULL,
        queue TEXT NOT NULL,
        claim_queue TEXT NOT NULL,
        id TEXT NOT NULL,
        tenant TEXT NOT NULL,
        ready INTEGER NOT NULL,
        running INTEGER NOT NULL,
        busy INTEGER NOT NULL,
        served_at REAL NOT NULL,
        PRIMARY KEY (number, queue)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX work_ready ON work (claim_queue, tenant, busy, served_at, id) WHERE ready > 0",
    "CREATE INDEX work_running ON work (tenant, running) WHERE running > 0",
    # IndexEntry.served_at, the latest of each tenant.
    "CREATE TABLE served (tenant TEXT PRIMARY KEY, at REAL NOT NULL)",
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
    """Create or upgrade the tables, all or nothing; raises StorageError for an unknown schema."""
    latest = len(migrations)
    if _version(db) == latest and _is_ours(db):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have created the tables before this one got the lock; in a file that
        # is not empty they must be ours.
        if _version(db) or db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
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


# Text is folded here and not by the index. Characters of scripts without spaces become words of
# their own, so that a query finds them as a phrase anywhere; so do Korean syllables, because
# particles are attached to words.
_HANGUL = range(0xAC00, 0xD7A4)


def searchable(text: str) -> str:
    """The text with words folded and apart from each other."""
    folded = fold(text).replace("\0", " ")
    if folded.isascii():
        return folded
    spaced = "".join(
        f" {char} " if is_spaceless(char) or ord(char) in _HANGUL else char for char in folded
    )
    return spaced.encode("utf-8", "replace").decode("utf-8")


def match_expression(query: str) -> str:
    """An FTS5 expression for all words of a query; empty when it has none."""
    words = dict.fromkeys(query.split())  # each takes its time in each text
    phrases = (" ".join(searchable(word).replace('"', " ").split()) for word in words)
    return " AND ".join(f'"{phrase}"' for phrase in phrases if any(map(str.isalnum, phrase)))


_LONGEST_PAUSE_SECONDS = 0.004
_SHM_GROWTH_FAILED = 4874  # SQLITE_IOERR_SHMSIZE, which a full disk causes as well
_inherited: list[sqlite3.Connection] = []


class _Held:
    """A thread's connection, which is closed with it, and only by the process that opened it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db: sqlite3.Connection | None = db
        self.pid = os.getpid()
        # SQLite crashes when a connection is closed in the middle of another thread's statement.
        self.in_use = threading.RLock()

    def close(self) -> None:
        if self.pid == os.getpid():
            with self.in_use:
                db, self.db = self.db, None
                if db is not None:
                    db.close()
        elif self.db is not None:
            # SQLite forbids closing a connection that was inherited by fork; keep it open.
            _inherited.append(self.db)
            self.db = None

    def __del__(self) -> None:
        self.close()


class Connections:
    """
    One connection per process and thread, opened lazily.

    Args:
        busy_seconds: how long to wait for another writer.
        most_bytes: size at which the file stops growing; None leaves that to the disk.
    """

    def __init__(self, path: Path, busy_seconds: float, most_bytes: int | None) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._most_bytes = most_bytes
        self._local = threading.local()
        self._all: weakref.WeakSet[_Held] = weakref.WeakSet()
        # SQLite does not queue writers, so that one of many threads may starve; of each process
        # only one thread competes.
        self._turn = threading.Lock()
        _everywhere.add(self)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for single statements, with SQLite's errors translated."""
        try:
            held = self._get()
            with held.in_use:
                yield self._usable(held)
        except sqlite3.Error as error:
            raise self._translated(error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """An exclusive write transaction; an exception rolls it back."""
        if not self._turn.acquire(timeout=self._busy_seconds):
            raise self._locked()
        try:
            with self.reading() as db:
                self._retried(db, "BEGIN IMMEDIATE")
                try:
                    yield db
                    # A COMMIT that fails, on a full disk for example, leaves the transaction open.
                    db.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                    raise
        finally:
            self._turn.release()

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Read all rows of a statement."""
        with self.reading() as db:
            return db.execute(statement, values).fetchall()

    def row(self, statement: str, *values: object) -> Any:
        """Read the first row of a statement; None without any."""
        try:
            held = self._get()
            with held.in_use:
                return self._usable(held).execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def write(self, statement: str, *values: object) -> int:
        """Run one statement in a transaction; returns the number of changed rows."""
        with self.writing() as db:
            return db.execute(statement, values).rowcount

    def close(self) -> None:
        """Close the connections of this process once idle; later calls open new ones."""
        for held in list(self._all):
            held.close()

    def _usable(self, held: _Held) -> sqlite3.Connection:
        """Its connection, to be used while `in_use` is held."""
        if held.db is None:  # closed in this moment
            held.db = self._open()
        return held.db

    def _get(self) -> _Held:
        held: _Held | None = getattr(self._local, "held", None)
        if held is None or held.pid != os.getpid():
            self._local.held = held = _Held(self._open())
            self._all.add(held)
        return held

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder of {self._path} cannot be made: {error.strerror}."
            ) from error
        make_private(self._path)  # SQLite's other files get the same mode
        db = sqlite3.connect(
            self._path, self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        self._use_wal(db)
        db.execute("PRAGMA synchronous = FULL")  # NORMAL may lose commits when the power fails
        db.execute("PRAGMA secure_delete = ON")  # what was deleted is overwritten
        if self._most_bytes is not None:
            (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
            db.execute(f"PRAGMA max_page_count = {self._most_bytes // page_bytes}")
        migrate(db)

    def _use_wal(self, db: sqlite3.Connection) -> None:
        """Switch the file to a write-ahead log; SQLite itself does not wait for locks here."""
        (mode,) = self._retried(db, "PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageError(
                f"{self._path} lies on a file system where SQLite cannot keep a write-ahead "
                "log, for example a network share; set DATA_DIR to a folder on a local disk."
            )

    def _retried(self, db: sqlite3.Connection, statement: str) -> sqlite3.Cursor:
        """
        Run a statement, with retries while other processes hold the lock.

        SQLite's own retries sleep longer with every attempt, up to 0.1 s, and lose to newcomers;
        short random pauses give every process the same chance.
        """
        give_up_at = time.monotonic() + self._busy_seconds
        db.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    return db.execute(statement)
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() > give_up_at:
                        raise
                time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311
        finally:
            db.execute(f"PRAGMA busy_timeout = {round(1000 * self._busy_seconds)}")

    def _locked(self) -> StorageUnavailable:
        return StorageUnavailable(
            f"{self._path} was locked by other writers for {self._busy_seconds:g} seconds."
        )

    def _translated(self, error: sqlite3.Error) -> StorageError:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF == sqlite3.SQLITE_FULL or code == _SHM_GROWTH_FAILED:
            return StorageFull(
                f"There is no space left for {self._path}; free some on that disk, or set "
                "DATA_DIR to a larger one."
            )
        if _is_busy(error):
            return self._locked()
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StorageError(f"{self._path} is damaged or not a job database: {error}.")
        return StorageError(f"The job database {self._path} failed: {error}.")


_everywhere: weakref.WeakSet[Connections] = weakref.WeakSet()


def _renew_turns() -> None:
    """Replace locks after a fork, whose holders may not exist in the child."""
    for each in list(_everywhere):
        each._turn = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_turns)


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
