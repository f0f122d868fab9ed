"""Chunks and manifests in Redis: what `RedisMediaStore` is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis

from meet_transcriber.core.errors import StorageError, StorageFull, StorageUnavailable
from meet_transcriber.stores import redis_chunks_lua as lua
from meet_transcriber.stores.reading import ObjectChanged

CHUNK_BYTES = 512 * 1024
# Answers of a Redis that starts, fails over, or cannot write to its disk at the moment.
_PASSING = ("LOADING", "READONLY", "MASTERDOWN", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "BUSY")


@contextmanager
def _translated(verb: str, key: str) -> Iterator[None]:
    try:
        yield
    except redis.AuthenticationError as error:
        raise StorageUnavailable(
            f"Cannot {verb} {key}: Redis refuses the password ({error}). Check REDIS_URL and "
            "REDIS_PASSWORD."
        ) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StorageUnavailable(
            f"Cannot {verb} {key}: Redis does not answer ({error}). Check that it runs and "
            "that REDIS_URL names it."
        ) from error
    except redis.RedisError as error:
        raise _said_by_redis(f"Cannot {verb} {key}", error) from error


def _said_by_redis(what: str, error: redis.RedisError) -> StorageError:
    if "OOM command not allowed" in str(error) or isinstance(error, redis.OutOfMemoryError):
        return StorageFull(
            f"{what}: Redis has reached its maxmemory. Raise it, or keep recordings elsewhere "
            "by MEDIA_URL."
        )
    if isinstance(error, redis.ReadOnlyError) or str(error).startswith(_PASSING):
        return StorageUnavailable(f"{what}: Redis cannot do it at the moment ({error}).")
    return StorageError(f"{what}: Redis says {error}.")


class Manifest(NamedTuple):
    """What is known of a finished object: which chunks are its own, and how large they are."""

    id: str
    size: int
    chunk_bytes: int

    def __str__(self) -> str:
        return f"{self.id} {self.size} {self.chunk_bytes}"

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Read what `str` wrote."""
        name, size, chunk_bytes = text.decode().split()
        return cls(name, int(size), int(chunk_bytes))


class RedisChunks:
    """
    Every step that `RedisMediaStore` does in Redis, each as a whole.

    Errors of Redis come out as StorageError, StorageFull or StorageUnavailable.
    """

    def __init__(self, client: redis.Redis, budget_bytes: int, namespace: str) -> None:
        self._redis: Any = client  # its types allow for asynchronous answers everywhere
        self._budget_bytes = budget_bytes
        self._chunks = f"{namespace}:media:chunks:"
        names = ("used", "sizes", "writing", "manifests", "index")
        self._names = [f"{namespace}:media:{name}" for name in names]
        self._manifests, self._index = self._names[3:]
        self._append, self._commit, self._abandon, self._delete, self._tidy = (
            self._redis.register_script(script)
            for script in (lua.APPEND, lua.COMMIT, lua.ABANDON, lua.DELETE, lua.TIDY)
        )

    def append(self, key: str, name: str, number: int, chunk: bytes) -> None:
        """Keep one more chunk of the writing called `name`."""
        with _translated("write", key):
            answer = self._run(self._append, name, number, chunk, self._budget_bytes)
        if answer == b"full":
            raise StorageFull(
                f"Cannot write {key}: recordings in Redis may have no more bytes. Delete some, "
                "raise REDIS_MEDIA_BUDGET_MB, or keep them elsewhere by MEDIA_URL."
            )
        _check_alive(key, answer)

    def commit(self, key: str, name: str, size: int) -> None:
        """Let the object appear, in place of an older one."""
        manifest = str(Manifest(name, size, CHUNK_BYTES))
        with _translated("write", key):
            _check_alive(key, self._run(self._commit, key, manifest, size))

    def abandon(self, key: str, name: str) -> None:
        """Give back the bytes of something half written."""
        with _translated("clean up after", key):
            self._run(self._abandon, name)

    def manifest(self, key: str) -> Manifest:
        """Look an object up; raises StorageError where there is none."""
        with _translated("read", key):
            text = self._redis.hget(self._manifests, key)
        if text is None:
            raise StorageError(f"Cannot read {key}: there is no such object.")
        return Manifest.parse(text)

    def chunk(self, key: str, manifest: Manifest, number: int) -> bytes:
        """Return one chunk; raises ObjectChanged where the object went away."""
        with _translated("read", key):
            chunk: bytes | None = self._redis.hget(self._chunks + manifest.id, str(number))
            if chunk is not None:
                return chunk
            now = self._redis.hget(self._manifests, key)
        if now == str(manifest).encode():
            raise StorageError(
                f"Cannot read {key}: Redis has dropped a part of it. Upload it again, and set "
                "its maxmemory-policy to noeviction."
            )
        raise ObjectChanged(f"Cannot read on in {key}: it was replaced or deleted meanwhile.")

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        with _translated("look for", key):
            return bool(self._redis.hexists(self._manifests, key))

    def below(self, prefix: str) -> list[str]:
        """The keys below a prefix, in order."""
        with _translated("list", prefix):
            found = self._redis.zrangebylex(self._index, *_ends(prefix))
        return [key.decode() for key in found]

    def delete(self, prefix: str) -> None:
        """Remove what has this key or lies below it."""
        with _translated("delete", prefix):
            self._run(self._delete, prefix, *_ends(prefix))

    def tidy(self, older_than_seconds: float) -> int:
        """Give back the bytes of writers that were quiet for so long; returns how many."""
        with _translated("tidy", "Redis"):
            return int(self._run(self._tidy, older_than_seconds))

    def used_bytes(self) -> int:
        """What counts towards the budget."""
        with _translated("measure", "Redis"):
            return int(self._redis.get(self._names[0]) or 0)

    def _run(self, script: Any, *args: str | bytes | float) -> Any:
        return script(keys=self._names, args=[self._chunks, *args])


def _ends(prefix: str) -> tuple[str, str]:
    """The ends between which the keys below a prefix lie; '0' comes right after '/'."""
    return f"[{prefix}/", f"({prefix}0"


def _check_alive(key: str, answer: bytes) -> None:
    if answer != b"ok":
        raise StorageError(f"Cannot write {key}: its writer was quiet for too long.")
