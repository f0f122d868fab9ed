"""
A MediaStore in Redis, for small deployments without another store.

Scripts change the objects atomically. Their KEYS are always the same: 1 the bytes used, 2 bytes by
id, 3 ids being written by the time of their last piece, 4 manifests by key, 5 the keys in order.
ARGV[1] is what the names of the chunks begin with. An id is one writing of one object; its chunks
are a hash by number.

When its memory is full, Redis checks only a script's first write: so a script that frees memory
begins with a deletion, and one that takes memory with a write.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, NamedTuple

import redis

from meet_transcriber.core.errors import StorageError, StorageFull
from meet_transcriber.core.range_reader import open_blocks
from meet_transcriber.core.redis_urls import RedisAddress
from meet_transcriber.ports.stores import Capacity, ObjectWriter
from meet_transcriber.stores.base import (
    ObjectChanged,
    copy_to,
    cut_pieces,
    read_consistent,
    validate_key,
)
from meet_transcriber.stores.redis.client import RedisCalls

_DROP = """
local function drop(id)
    redis.call('UNLINK', ARGV[1] .. id)
    local bytes = tonumber(redis.call('HGET', KEYS[2], id) or '0')
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
    local used = tonumber(redis.call('GET', KEYS[1]) or '0')
    redis.call('SET', KEYS[1], math.max(0, used - bytes))
end
local function id_of(manifest)
    return string.match(manifest, '^%S+')
end
"""

# ARGV: id, number, chunk, budget. A chunk that is repeated after a lost response counts once.
_APPEND = """
local chunks = ARGV[1] .. ARGV[2]
if redis.call('HEXISTS', chunks, ARGV[3]) == 1 then return 'ok' end
if ARGV[3] ~= '0' and not redis.call('ZSCORE', KEYS[3], ARGV[2]) then return 'gone' end
local used = tonumber(redis.call('GET', KEYS[1]) or '0') + #ARGV[4]
if used > tonumber(ARGV[5]) then return 'full' end
redis.call('HSET', chunks, ARGV[3], ARGV[4])
redis.call('SET', KEYS[1], used)
redis.call('HINCRBY', KEYS[2], ARGV[2], #ARGV[4])
redis.call('ZADD', KEYS[3], redis.call('TIME')[1], ARGV[2])
return 'ok'
"""

# ARGV: key, manifest, its size. An object of no bytes was never among those being written.
_COMMIT = (
    _DROP
    + """
local old = redis.call('HGET', KEYS[4], ARGV[2])
if old == ARGV[3] then return 'ok' end
local id = id_of(ARGV[3])
if ARGV[4] ~= '0' and not redis.call('ZSCORE', KEYS[3], id) then return 'gone' end
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[2], id, ARGV[4])
redis.call('ZADD', KEYS[5], 0, ARGV[2])
redis.call('ZREM', KEYS[3], id)
if old then drop(id_of(old)) end
return 'ok'
"""
)

# ARGV: id. Does nothing to an object whose commit succeeded although its response was lost.
_ABANDON = _DROP + "if redis.call('ZSCORE', KEYS[3], ARGV[2]) then drop(ARGV[2]) end"

# ARGV: prefix, and the two ends between which the keys below it lie.
_DELETE = (
    _DROP
    + """
local keys = redis.call('ZRANGEBYLEX', KEYS[5], ARGV[3], ARGV[4])
table.insert(keys, ARGV[2])
for _, key in ipairs(keys) do
    local manifest = redis.call('HGET', KEYS[4], key)
    redis.call('HDEL', KEYS[4], key)
    redis.call('ZREM', KEYS[5], key)
    if manifest then drop(id_of(manifest)) end
end
"""
)

# ARGV: seconds. Recounts the bytes used, which a crash of Redis may have made wrong.
_TIDY = (
    _DROP
    + """
local before = redis.call('TIME')[1] - ARGV[2]
local dead = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', before)
for _, id in ipairs(dead) do drop(id) end
local used = 0
for _, bytes in ipairs(redis.call('HVALS', KEYS[2])) do used = used + bytes end
redis.call('SET', KEYS[1], used)
return #dead
"""
)


CHUNK_BYTES = 512 * 1024


class _Manifest(NamedTuple):
    """A finished object: the id of its chunks, and their size."""

    id: str
    size: int
    chunk_bytes: int

    def __str__(self) -> str:
        return f"{self.id} {self.size} {self.chunk_bytes}"

    @classmethod
    def parse(cls, text: bytes) -> "_Manifest":
        """Parse the result of `str`."""
        name, size, chunk_bytes = text.decode().split()
        return cls(name, int(size), int(chunk_bytes))


class RedisMediaStore:
    """
    Stores each object in Redis as chunks of 512 KiB and a manifest.

    Replaced objects free their bytes at once, so readers of the old one get a StorageError. Redis
    must not evict: `maxmemory-policy noeviction`.

    Args:
        redis_at: an address, or a client that returns bytes (no `decode_responses`).
        budget_bytes: limit of all objects together, including unfinished ones and those about
            to be replaced, without the overhead of Redis.
        namespace: prefix of all keys in Redis.
    """

    def __init__(
        self, redis_at: RedisAddress | redis.Redis, budget_bytes: int, namespace: str = "mt"
    ) -> None:
        self._calls = RedisCalls.at(redis_at)
        self._budget_bytes = budget_bytes
        self._chunks = f"{namespace}:media:chunks:"
        names = ("used", "sizes", "writing", "manifests", "index")
        self._names = [f"{namespace}:media:{name}" for name in names]
        self._used, _, _, self._manifests, self._index = self._names
        self._append, self._commit, self._abandon, self._delete, self._tidy = (
            self._calls.client.register_script(script)
            for script in (_APPEND, _COMMIT, _ABANDON, _DELETE, _TIDY)
        )

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        with self.writer(key) as writer:
            copy_to(data, writer, key)

    @contextmanager
    def writer(self, key: str) -> Iterator[ObjectWriter]:
        writer = _ChunkWriter(self, validate_key(key))
        try:
            yield writer
            writer.finish()
        except BaseException:
            with suppress(StorageError):  # Redis is gone; `remove_stale_writes` does it then
                writer.abandon()
            raise

    def get(self, key: str) -> bytes:
        return read_consistent(lambda: self.open(key))

    def open(self, key: str) -> BinaryIO:
        manifest = self._manifest(key)

        def fetch(position: int) -> tuple[int, bytes]:
            number = position // manifest.chunk_bytes
            return number * manifest.chunk_bytes, self._chunk(key, manifest, number)

        return open_blocks(manifest.size, fetch)

    def size(self, key: str) -> int:
        return self._manifest(key).size

    def exists(self, key: str) -> bool:
        return bool(self._calls.command("HEXISTS", self._manifests, validate_key(key)))

    def keys(self, prefix: str) -> list[str]:
        ends = _ends(validate_key(prefix))
        found = self._calls.command("ZRANGEBYLEX", self._index, *ends)
        below = [key.decode() for key in found]
        return [prefix, *below] if self.exists(prefix) else below

    def delete(self, prefix: str) -> None:
        self._run(self._delete, prefix, *_ends(validate_key(prefix)))

    def remove_stale_writes(self, older_than_seconds: float) -> int:
        return int(self._run(self._tidy, older_than_seconds))

    def capacity(self) -> Capacity | None:
        return Capacity("budget", self.used_bytes(), self._budget_bytes)

    def ping(self) -> None:
        self.append("anything", "ping", 0, b"")
        self.abandon("ping")

    def used_bytes(self) -> int:
        """Bytes that count towards the budget."""
        return int(self._calls.command("GET", self._used) or 0)

    # -- chunks ------------------------------------------------------------------------------

    def append(self, key: str, name: str, number: int, chunk: bytes) -> None:
        """Store another chunk of the write `name`."""
        answer = self._run(self._append, name, number, chunk, self._budget_bytes)
        if answer == b"full":
            raise StorageFull(
                f"Cannot write {key}: recordings have reached REDIS_MEDIA_BUDGET_MB. Delete some, "
                "raise it, or set MEDIA_URL to another store."
            )
        _check_alive(key, answer)

    def commit(self, key: str, name: str, size: int) -> None:
        """Publish the object in place of an older one."""
        manifest = str(_Manifest(name, size, CHUNK_BYTES))
        _check_alive(key, self._run(self._commit, key, manifest, size))

    def abandon(self, name: str) -> None:
        """Free the bytes of an unfinished write."""
        self._run(self._abandon, name)

    def _manifest(self, key: str) -> _Manifest:
        text = self._calls.command("HGET", self._manifests, validate_key(key))
        if text is None:
            raise StorageError(f"Cannot read {key}: there is no such object.")
        return _Manifest.parse(text)

    def _chunk(self, key: str, manifest: _Manifest, number: int) -> bytes:
        """One chunk; raises ObjectChanged if the object was replaced or deleted."""
        chunk: bytes | None = self._calls.command("HGET", self._chunks + manifest.id, number)
        if chunk is not None:
            return chunk
        # The same manifest still names the missing chunk, so nobody deleted it on purpose.
        if self._calls.command("HGET", self._manifests, key) == str(manifest).encode():
            raise StorageError(
                f"Cannot read {key}: Redis has dropped a part of it. Upload it again, and set "
                "its maxmemory-policy to noeviction."
            )
        raise ObjectChanged(f"Cannot read on in {key}: it was replaced or deleted meanwhile.")

    def _run(self, script: Any, *args: str | bytes | float) -> Any:
        # Every script may be repeated after a lost response.
        return self._calls.run(lambda: script(keys=self._names, args=[self._chunks, *args]))


def _ends(prefix: str) -> tuple[str, str]:
    """The lexical range of the keys below a prefix; '0' follows '/'."""
    return f"[{prefix}/", f"({prefix}0"


def _check_alive(key: str, answer: bytes) -> None:
    if answer != b"ok":
        raise StorageError(f"Cannot write {key}: its writer was idle for too long.")


class _ChunkWriter:
    def __init__(self, store: RedisMediaStore, key: str) -> None:
        self._store, self._key, self._id = store, key, uuid.uuid4().hex
        self._buffer, self._number, self._size = bytearray(), 0, 0

    def write(self, data: bytes, /) -> int:
        for chunk in cut_pieces(self._buffer, data, CHUNK_BYTES):
            self._send(chunk)
        return len(data)

    def finish(self) -> None:
        """Send the last chunk and publish the object."""
        if self._buffer:
            self._send(bytes(self._buffer))
        self._store.commit(self._key, self._id, self._size)

    def abandon(self) -> None:
        """Free the bytes that were sent."""
        # Before its first chunk a write has left nothing.
        if self._number:
            self._store.abandon(self._id)

    def _send(self, chunk: bytes) -> None:
        self._store.append(self._key, self._id, self._number, chunk)
        self._number, self._size = self._number + 1, self._size + len(chunk)
