"""A KeyStore in the SQLite file of the jobs."""

import sqlite3
from collections.abc import Callable

from meet_transcriber.core.auth import ApiKey, Session
from meet_transcriber.core.errors import KeyNotFound, StorageError
from meet_transcriber.stores.json_records import dump, load
from meet_transcriber.stores.sqlite.connections import Connections


class SqliteKeyStore:
    """Keys and sessions beside the jobs, for any number of threads and processes."""

    def __init__(self, connections: Connections) -> None:
        self._reading, self._writing = connections.reading, connections.writing

    def put_key(self, key: ApiKey) -> None:
        with self._writing() as db:
            try:
                db.execute("INSERT INTO keys VALUES (?, ?)", (key.id, dump(key)))
            except sqlite3.IntegrityError as error:
                raise StorageError(f"There is a key {key.id} already.") from error

    def find_key(self, key_id: str) -> ApiKey | None:
        with self._reading() as db:
            row = db.execute("SELECT doc FROM keys WHERE id = ?", (key_id,)).fetchone()
        return row and load(ApiKey, row[0])

    def change_key(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        with self._writing() as db:
            row = db.execute("SELECT doc FROM keys WHERE id = ?", (key_id,)).fetchone()
            if row is None:
                raise KeyNotFound(f"There is no key {key_id[:40]}.")
            key = change(load(ApiKey, row[0]))
            db.execute("UPDATE keys SET doc = ? WHERE id = ?", (dump(key), key_id))
        return key

    def all_keys(self) -> list[ApiKey]:
        with self._reading() as db:
            found = [load(ApiKey, doc) for (doc,) in db.execute("SELECT doc FROM keys")]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    def put_session(self, session: Session, now: float) -> None:
        row = (session.id, session.until, dump(session))
        with self._writing() as db:
            db.execute("DELETE FROM sessions WHERE until <= ?", (now,))
            db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", row)

    def find_session(self, session_id: str, now: float) -> Session | None:
        statement = "SELECT doc FROM sessions WHERE id = ? AND until > ?"
        with self._reading() as db:
            row = db.execute(statement, (session_id, now)).fetchone()
        return row and load(Session, row[0])

    def drop_session(self, session_id: str) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
