"""A MediaStore in Redis, for small deployments without another store."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import redis

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.range_reader import open_blocks
from meet_transcriber.ports.stores import Capacity, ObjectWriter
from meet_transcriber.stores.object_io import copy_to, read_consistent, validate_key
from meet_transcriber.stores.redis.chunks import CHUNK_BYTES, RedisChunks


class RedisMediaStore:
    """
    Stores each object in Redis as chunks of 512 KiB and a manifest.

    Replaced objects free their bytes at once, so readers of the old one get a StorageError. Redis
    must not evict: `maxmemory-policy noeviction`.

    Args:
        client: returns bytes (no `decode_responses`) and has timeouts.
        budget_bytes: limit of all objects together, including unfinished ones and those about
            to be replaced, without the overhead of Redis.
        namespace: prefix of all keys in Redis.
    """

    def __init__(self, client: redis.Redis, budget_bytes: int, namespace: str = "mt") -> None:
        self._chunks = RedisChunks(client, budget_bytes, namespace)
        self._budget_bytes = budget_bytes

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        with self.writer(key) as writer:
            copy_to(data, writer, key)

    @contextmanager
    def writer(self, key: str) -> Iterator[ObjectWriter]:
        writer = _ChunkWriter(self._chunks, validate_key(key))
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
        manifest = self._chunks.manifest(validate_key(key))

        def fetch(position: int) -> tuple[int, bytes]:
            number = position // manifest.chunk_bytes
            return number * manifest.chunk_bytes, self._chunks.chunk(key, manifest, number)

        return open_blocks(manifest.size, fetch)

    def size(self, key: str) -> int:
        return self._chunks.manifest(validate_key(key)).size

    def exists(self, key: str) -> bool:
        return self._chunks.exists(validate_key(key))

    def keys(self, prefix: str) -> list[str]:
        below = self._chunks.below(validate_key(prefix))
        return [prefix, *below] if self.exists(prefix) else below

    def delete(self, prefix: str) -> None:
        self._chunks.delete(validate_key(prefix))

    def remove_stale_writes(self, older_than_seconds: float) -> int:
        return self._chunks.remove_stale_writes(older_than_seconds)

    def capacity(self) -> Capacity | None:
        return Capacity("budget", self.used_bytes(), self._budget_bytes)

    def ping(self) -> None:
        self._chunks.append("anything", "ping", 0, b"")
        self._chunks.abandon("anything", "ping")

    def used_bytes(self) -> int:
        """Bytes that count towards the budget."""
        return self._chunks.used_bytes()


class _ChunkWriter:
    """Collects bytes into chunks."""

    def __init__(self, chunks: RedisChunks, key: str) -> None:
        self._chunks, self._key, self._id = chunks, key, uuid.uuid4().hex
        self._buffer, self._number, self._size = bytearray(), 0, 0

    def write(self, data: bytes, /) -> int:
        rest = memoryview(data)
        while rest:
            taken = rest[: CHUNK_BYTES - len(self._buffer)]
            self._buffer += taken
            rest = rest[len(taken) :]
            if len(self._buffer) == CHUNK_BYTES:
                self._send()
        return len(data)

    def finish(self) -> None:
        """Send the last chunk and publish the object."""
        if self._buffer:
            self._send()
        self._chunks.commit(self._key, self._id, self._size)

    def abandon(self) -> None:
        """Free the bytes that were sent."""
        if self._number:
            self._chunks.abandon(self._key, self._id)

    def _send(self) -> None:
        self._chunks.append(self._key, self._id, self._number, bytes(self._buffer))
        self._number, self._size = self._number + 1, self._size + len(self._buffer)
        self._buffer.clear()
