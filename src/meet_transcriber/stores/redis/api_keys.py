"""A KeyStore, and an AuditTrail of bounded length, in the Redis of the jobs."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from meet_transcriber.core.auth import ApiKey, AuditEntry, AuditPage, AuditQuery, Session
from meet_transcriber.core.errors import InvalidOptions, KeyNotFound, StorageError
from meet_transcriber.stores.base import dump, load
from meet_transcriber.stores.redis.client import RedisCalls, until_unchanged
from meet_transcriber.stores.redis.index import Keys

MOST_ENTRIES = 100_000
"""Approximate number of entries in a stream of the audit trail."""

_SCANNED = 1000
_CURSOR = re.compile(r"([0-9]{1,19}-[0-9]{1,19})-([01])")
_END = f"{10**18}-0"
"""After every possible entry."""

# KEYS: the hash of keys. ARGV: an id, the expected value, the new value.
_SWAP = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""


class RedisKeyStore:
    """Keys and sessions beside the jobs; sessions expire by the clock of Redis."""

    def __init__(self, calls: RedisCalls, keys: Keys) -> None:
        self._calls = calls
        self._run = calls.command
        self._keys = keys
        self._swap: Any = calls.client.register_script(_SWAP)

    def put_key(self, key: ApiKey) -> None:
        doc = dump(key)
        if not self._run("HSETNX", self._keys.of("keys"), key.id, doc):
            found = self._run("HGET", self._keys.of("keys"), key.id)
            if found != doc.encode():  # else this is a retry of our own write
                raise StorageError(f"There is a key {key.id} already.")

    def find_key(self, key_id: str) -> ApiKey | None:
        (found,) = self.find_keys([key_id])
        return found

    def find_keys(self, key_ids: Sequence[str]) -> list[ApiKey | None]:
        docs = self._run("HMGET", self._keys.of("keys"), *key_ids) if key_ids else []
        return [load(ApiKey, doc) if doc else None for doc in docs]

    def change_key(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        def attempt() -> ApiKey | None:
            doc = self._run("HGET", self._keys.of("keys"), key_id)
            if doc is None:
                raise KeyNotFound(f"There is no key {key_id[:40]}.")
            key = change(load(ApiKey, doc))
            keys, values = [self._keys.of("keys")], [key_id, doc, dump(key)]
            swapped = self._calls.run_once(lambda: self._swap(keys, values), f"key {key_id}")
            return key if swapped else None

        return until_unchanged(f"Key {key_id}", attempt)

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


class RedisTrail:
    """
    The latest audit entries, in two capped streams: one of authenticated callers, and one of
    refused requests without a valid key, so that those cannot displace the others.
    """

    def __init__(self, calls: RedisCalls, keys: Keys, most: int = MOST_ENTRIES) -> None:
        self._calls = calls
        self._client: Any = calls.client
        self._streams = keys.of("audit"), keys.of("audit", "strangers")
        self._most = most

    def append(self, *entries: AuditEntry) -> None:
        def write() -> None:
            with self._client.pipeline() as pipe:  # a transaction: written together or not at all
                for entry in entries:
                    stream = self._streams[entry.action == "refused" and not entry.key]
                    pipe.xadd(stream, {"doc": dump(entry)}, maxlen=self._most)
                pipe.execute()

        self._calls.run(write)

    def read_page(self, query: AuditQuery) -> AuditPage:
        rows = sorted(self._rows(query.after), reverse=True)
        found: list[AuditEntry] = []
        for place, which, doc in rows[:_SCANNED]:
            entry = load(AuditEntry, doc)
            found += [entry] if query.admits(entry) else []
            if len(found) == query.limit:
                return AuditPage(found, _cursor(place, which))
        return AuditPage(found, _cursor(*rows[_SCANNED - 1][:2]) if len(rows) >= _SCANNED else None)

    def _rows(self, after: str | None) -> Iterator[tuple[tuple[int, ...], int, bytes]]:
        """Position, number of the stream and entry of all rows before a cursor."""
        cursor = _CURSOR.fullmatch(after or f"{_END}-1")
        if cursor is None:
            raise InvalidOptions("`after` is not a cursor.")
        for which, stream in enumerate(self._streams):
            # Of two entries at the same position the one of the second stream is later.
            start = cursor[1] if which < int(cursor[2]) else f"({cursor[1]}"
            rows = self._calls.run(partial(self._client.xrevrange, stream, start, count=_SCANNED))
            for place, row in rows:
                yield tuple(map(int, place.split(b"-"))), which, row[b"doc"]


def _cursor(place: tuple[int, ...], which: int) -> str:
    return f"{place[0]}-{place[1]}-{which}"
