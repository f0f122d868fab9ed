"""Connections to one SQLite file from any thread of any process."""

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meet_transcriber.core.errors import StorageError, StorageFull, StorageUnavailable
from meet_transcriber.stores.sqlite.schema import migrate

_LONGEST_PAUSE_SECONDS = 0.004
_SHM_GROWTH_FAILED = 4874  # SQLITE_IOERR_SHMSIZE, which a full disk causes as well
_inherited: list[sqlite3.Connection] = []


class _Held:
    """A connection that is closed with its thread, and only by the process that opened it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db: sqlite3.Connection | None = db
        self.pid = os.getpid()

    def close(self) -> None:
        db, self.db = self.db, None
        if db is None:
            return
        if self.pid == os.getpid():
            db.close()
        else:
            # SQLite forbids closing a connection that was inherited by fork; keep it open.
            _inherited.append(db)

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
            yield self._get()
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
                    db.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                    raise
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close the connections of this process; later calls open new ones."""
        for held in list(self._all):
            held.close()

    def _get(self) -> sqlite3.Connection:
        held: _Held | None = getattr(self._local, "held", None)
        if held is not None and held.db is not None and held.pid == os.getpid():
            return held.db
        db = self._open()
        self._local.held = held = _Held(db)
        self._all.add(held)
        return db

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder of {self._path} cannot be made: {error.strerror}."
            ) from error
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
        db.execute("PRAGMA synchronous = FULL")
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
