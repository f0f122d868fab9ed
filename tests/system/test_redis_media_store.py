"""A real Redis fulfils the contract of a MediaStore, within its budget."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from meet_transcriber.core.errors import StorageError, StorageFull, StorageUnavailable
from meet_transcriber.stores.redis.media import RedisMediaStore
from tests.contract.media_store import MediaStoreContract, noise
from tests.contract.media_store_elsewhere import DIES, ElsewhereContract, started
from tests.system.media_servers import redis_server

KIBIBYTE = 1024
BUDGET_BYTES = 1000 * KIBIBYTE


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with redis_server(tmp_path_factory.mktemp("redis")) as path:
        yield path


@pytest.fixture
def client(socket: Path) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(socket)) as made:
        made.flushall()
        yield made
        made.config_set("maxmemory", 0)


@pytest.fixture
def small(client: redis.Redis) -> RedisMediaStore:
    return RedisMediaStore(client, BUDGET_BYTES)


class TestRedis(MediaStoreContract, ElsewhereContract):
    """A real server."""

    peak_mib = 8

    @pytest.fixture
    def store(self, client: redis.Redis) -> RedisMediaStore:
        return RedisMediaStore(client, 1 << 30)

    @pytest.fixture
    def making(self, socket: Path) -> str:
        return (
            "import redis\n"
            "from meet_transcriber.stores.redis.media import RedisMediaStore\n"
            f"client = redis.Redis(unix_socket_path={str(socket)!r})\n"
            "store = RedisMediaStore(client, 1 << 30)\n"
        )

    def test_bytes_of_a_killed_writer_are_released(
        self, store: RedisMediaStore, making: str, client: redis.Redis
    ) -> None:
        store.put("key", b"x")
        with started(making + DIES) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.kill()
        assert store.used_bytes() == 1 + 24 * KIBIBYTE * KIBIBYTE
        assert (
            store.remove_stale_writes(3600),
            store.remove_stale_writes(0),
            store.remove_stale_writes(0),
        ) == (0, 1, 0)
        assert store.used_bytes() == 1
        assert client.zcard("mt:media:writing") == 0


def names(client: redis.Redis) -> set[str]:
    """What there is in Redis but for the counter."""
    found: list[bytes] = client.keys()  # type: ignore[assignment]
    return {name.decode() for name in found} - {"mt:media:used"}


def test_the_budget_is_exact(small: RedisMediaStore) -> None:
    small.put("a", bytes(BUDGET_BYTES - 10))
    small.put("b", bytes(10))
    with pytest.raises(StorageFull, match=r"REDIS_MEDIA_BUDGET_MB.* MEDIA_URL"):
        small.put("c", b"x")
    assert small.used_bytes() == BUDGET_BYTES
    assert not small.exists("c")


def test_bytes_are_counted_while_they_arrive(small: RedisMediaStore) -> None:
    source = io.BytesIO(bytes(100 * BUDGET_BYTES))
    with pytest.raises(StorageFull):
        small.put("a", source)
    assert source.tell() < 3 * BUDGET_BYTES
    assert small.used_bytes() == 0


def test_deleting_and_replacing_release_bytes(small: RedisMediaStore) -> None:
    for _ in range(3):
        small.put("jobs/1/a", bytes(BUDGET_BYTES // 2))
    small.delete("jobs")
    assert small.used_bytes() == 0
    small.put("jobs/1/a", bytes(BUDGET_BYTES))


def test_a_deleted_object_leaves_nothing_in_redis(
    small: RedisMediaStore, client: redis.Redis
) -> None:
    small.put("a", noise(700_000))
    small.put("a", b"")
    small.put("b/c", b"x")
    small.ping()
    small.delete("a")
    small.delete("b")
    assert names(client) == set()


def test_maintenance_recounts_the_bytes(small: RedisMediaStore, client: redis.Redis) -> None:
    small.put("a", bytes(1000))
    for wrong in (-5, 10**9):
        client.set("mt:media:used", wrong)
        small.remove_stale_writes(3600)
        assert small.used_bytes() == 1000


def test_the_count_is_never_negative(small: RedisMediaStore, client: redis.Redis) -> None:
    small.put("a", bytes(1000))
    client.delete("mt:media:used")
    small.delete("a")
    assert small.used_bytes() == 0


def test_an_abandoned_writer_stops(small: RedisMediaStore) -> None:
    said = pytest.raises(StorageError, match="its writer was idle for too long")
    with said, small.writer("a") as writer:
        writer.write(noise(600_000))
        small.remove_stale_writes(0)
    assert (small.used_bytes(), small.exists("a")) == (0, False)


def test_a_full_redis_raises_storage_full(small: RedisMediaStore, client: redis.Redis) -> None:
    small.put("a", noise(500_000))
    client.config_set("maxmemory", "1mb")
    with pytest.raises(StorageFull, match=r"maxmemory.* MEDIA_URL"):
        small.put("b", noise(500_000))
    with pytest.raises(StorageFull, match="maxmemory"):
        small.ping()
    small.delete("a")
    client.config_set("maxmemory", 0)
    assert (small.used_bytes(), names(client)) == (0, set())


def test_an_evicted_object_raises_an_error(small: RedisMediaStore, client: redis.Redis) -> None:
    small.put("a", noise(1000))
    (chunks,) = (name for name in names(client) if "chunks" in name)
    client.delete(chunks)
    with pytest.raises(StorageError, match="maxmemory-policy to noeviction"):
        small.get("a")


def test_namespaces_are_separate(small: RedisMediaStore, client: redis.Redis) -> None:
    other = RedisMediaStore(client, BUDGET_BYTES, namespace="other")
    small.put("a", b"x")
    assert (other.exists("a"), other.used_bytes()) == (False, 0)


def test_an_unreachable_redis_raises_an_error(tmp_path: Path) -> None:
    once = Retry(NoBackoff(), 1)
    with redis.Redis(unix_socket_path=str(tmp_path / "none"), retry=once) as client:
        store = RedisMediaStore(client, BUDGET_BYTES)
        for ask in (store.ping, lambda: store.put("a", b"x"), lambda: store.exists("a")):
            with pytest.raises(StorageUnavailable, match="does not answer"):
                ask()


def test_a_wrong_password_raises_an_error(socket: Path) -> None:
    said = pytest.raises(StorageUnavailable, match="REDIS_PASSWORD")
    once = Retry(NoBackoff(), 1)
    stranger = redis.Redis(
        unix_socket_path=str(socket), username="me", password="wrong", retry=once
    )
    with stranger, said:
        RedisMediaStore(stranger, BUDGET_BYTES).ping()


def test_a_read_only_redis_raises_an_error(client: redis.Redis) -> None:
    store = RedisMediaStore(client, BUDGET_BYTES)
    store.put("a", b"x")
    client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(StorageUnavailable, match="read only replica"):
            store.put("a", b"y")
    finally:
        client.replicaof("NO", "ONE")
