"""A KeyStore, and an AuditTrail of bounded length, in the Redis of the jobs."""

import re
import time
from collections.abc import Callable
from typing import Any

from meet_transcriber.core.audit import AuditEntry, AuditPage, AuditQuery
from meet_transcriber.core.errors import (
    InvalidOptions,
    KeyNotFound,
    StorageError,
    StorageUnavailable,
)
from meet_transcriber.core.keys import ApiKey, Session
from meet_transcriber.stores.records import dump, load
from meet_transcriber.stores.redis_client import RedisCalls
from meet_transcriber.stores.redis_index import Keys

BUSY_SECONDS = 10.0
MOST_ENTRIES = 100_000
"""About how many entries of the audit trail are kept; a file keeps all."""

_SCANNED = 1000
_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")

# KEYS: the hash of keys. ARGV: an id, what must be there, what is put in its place.
_SWAP = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""


class RedisKeyStore:
    """Keys and sessions beside the jobs; sessions end by the clock of Redis."""

    def __init__(self, calls: RedisCalls, keys: Keys) -> None:
        self._calls = calls
        self._client: Any = calls.client
        self._keys = keys
        self._swap: Any = self._client.register_script(_SWAP)

    def put_key(self, key: ApiKey) -> None:
        doc = dump(key)
        if not self._run("HSETNX", self._keys.of("keys"), key.id, doc):
            found = self._run("HGET", self._keys.of("keys"), key.id)
            if found != doc.encode():  # else the line broke behind our own write
                raise StorageError(f"There is a key {key.id} already.")

    def find_key(self, key_id: str) -> ApiKey | None:
        doc = self._run("HGET", self._keys.of("keys"), key_id)
        return load(ApiKey, doc) if doc else None

    def change_key(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        give_up_at = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < give_up_at:
            doc = self._run("HGET", self._keys.of("keys"), key_id)
            if doc is None:
                raise KeyNotFound(f"There is no key {key_id[:40]}.")
            key = change(load(ApiKey, doc))
            if self._swapped(key_id, doc, dump(key)):
                return key
        raise StorageUnavailable(f"Key {key_id} was changed by others again and again.")

    def _swapped(self, key_id: str, old: bytes, new: str) -> bool:
        keys = [self._keys.of("keys")]
        return bool(self._calls.run(lambda: self._swap(keys, [key_id, old, new])))

    def all_keys(self) -> list[ApiKey]:
        found = [load(ApiKey, doc) for doc in self._run("HVALS", self._keys.of("keys"))]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    def put_session(self, session: Session, now: float) -> None:
        milliseconds = max(1, round(1000 * (session.until - now)))
        self._run("SET", self._keys.of("session", session.id), dump(session), "PX", milliseconds)

    def find_session(self, session_id: str, now: float) -> Session | None:  # noqa: ARG002
        doc = self._run("GET", self._keys.of("session", session_id))
        return load(Session, doc) if doc else None

    def drop_session(self, session_id: str) -> None:
        self._run("DEL", self._keys.of("session", session_id))

    def _run(self, *command: str | float) -> Any:
        return self._calls.run(lambda: self._client.execute_command(*command))


class RedisTrail:
    """The latest entries, in a stream that Redis caps."""

    def __init__(self, calls: RedisCalls, keys: Keys) -> None:
        self._calls = calls
        self._client: Any = calls.client
        self._stream = keys.of("audit")

    def append(self, entry: AuditEntry) -> None:
        row = {"doc": dump(entry)}
        self._calls.run(lambda: self._client.xadd(self._stream, row, maxlen=MOST_ENTRIES))

    def page(self, query: AuditQuery) -> AuditPage:
        if query.after is not None and not _ID.fullmatch(query.after):
            raise InvalidOptions("`after` is not the cursor of a page.")
        start = f"({query.after}" if query.after else "+"
        rows = self._calls.run(
            lambda: self._client.xrevrange(self._stream, start, "-", count=_SCANNED)
        )
        found: list[AuditEntry] = []
        for place, row in rows:
            entry = load(AuditEntry, row[b"doc"])
            found += [entry] if query.admits(entry) else []
            if len(found) == query.limit:
                return AuditPage(found, place.decode())
        return AuditPage(found, rows[-1][0].decode() if len(rows) == _SCANNED else None)
