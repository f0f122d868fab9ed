"""What is Redis's own: dying servers, TLS, sockets, sentinels, clusters, forks."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import redis

from meet_transcriber.core.errors import (
    JobNotFound,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from meet_transcriber.core.jobs import JobQuery
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.ports.stores import JobQueue
from meet_transcriber.service.queries import measure_queues
from meet_transcriber.stores.redis.client import build_client
from meet_transcriber.stores.redis.jobs import RedisJobStore
from tests.contract.job_samples import job, one_more
from tests.redis_server import RedisServer, free_port


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "own") as server:
        yield server


@pytest.fixture
def open_store() -> Iterator[Callable[..., RedisJobStore]]:
    """Opens stores as `parse_redis_url` is called, and closes them afterwards."""
    opened: list[RedisJobStore] = []

    def opener(url: str, password: str | None = None, master: str | None = None) -> RedisJobStore:
        opened.append(RedisJobStore(parse_redis_url(url, password, master)))
        return opened[-1]

    yield opener
    for store in opened:
        store.close()


OpenStore = Callable[..., RedisJobStore]

# -- dying and coming back -------------------------------------------------------------------


def test_a_server_killed_under_load_keeps_what_it_acknowledged(
    own_server: RedisServer, open_store: OpenStore
) -> None:
    store, made = open_store(own_server.url), list[str]()
    killer = threading.Timer(0.5, own_server.kill9)
    killer.start()
    with pytest.raises(StorageUnavailable, match=r"redis://127\.0\.0\.1"):
        made.extend(store.create(job(f"job-{number}")).id for number in range(100_000))
    killer.join()
    own_server.start()
    assert len(made) > 20
    assert [store.get(job_id).id for job_id in made] == made
    assert len(store.page(JobQuery(limit=100_000))) - len(made) in (0, 1)


def test_a_short_outage_is_not_noticed(own_server: RedisServer, open_store: OpenStore) -> None:
    store = open_store(own_server.url)
    store.create(job())
    own_server.restart()
    assert store.update("job-1", one_more).after.version == 2
    own_server.kill9()
    starter = threading.Timer(0.1, own_server.start)
    starter.start()
    assert store.update("job-1", one_more).after.fence == 2
    starter.join()


def test_scripts_are_sent_again_to_a_server_that_forgot_them(
    own_server: RedisServer, open_store: OpenStore
) -> None:
    store = open_store(own_server.url)
    assert store.lock("tend", "a", 60.0, 0.0)
    own_server.restart()
    assert not store.lock("tend", "b", 60.0, 0.0)


def test_a_server_that_is_down_is_said_soon(own_server: RedisServer, open_store: OpenStore) -> None:
    store = open_store(own_server.url)
    store.ping()
    own_server.stop()
    started = time.monotonic()
    for ask in (store.ping, store.backlog, lambda: store.get("job-1")):
        with pytest.raises(StorageUnavailable, match="does not answer"):
            ask()
    assert time.monotonic() - started < 10


def test_a_full_memory_is_said_and_loses_nothing(
    own_server: RedisServer, open_store: OpenStore
) -> None:
    store = open_store(own_server.url)
    made = store.create(job())
    with redis.Redis.from_url(own_server.url) as admin:
        admin.config_set("maxmemory", "1mb")
        with pytest.raises(StorageFull, match="maxmemory"):
            store.update("job-1", one_more)
        assert store.get("job-1") == made
        assert store.due(9e9, 9) == []


class LosesAnswers(redis.Redis):
    """A client whose line breaks after the next script was sent."""

    breaks = False
    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def evalsha(self, *args: object) -> object:
        answer = super().evalsha(*args)  # type: ignore[arg-type]
        if self.breaks:
            self.breaks = False
            self.meanwhile()
            raise redis.ConnectionError("Connection closed by server.")
        return answer


def test_a_change_whose_answer_was_lost_is_made_once(own_server: RedisServer) -> None:
    with LosesAnswers.from_url(own_server.url) as client:
        store = RedisJobStore(client)
        store.create(job())
        client.breaks = True
        _, changed = store.update("job-1", one_more)
        assert (changed.fence, changed.version) == (1, 2)
        assert store.get("job-1") == changed


def test_a_change_whose_fate_is_unknown_is_never_made_twice(own_server: RedisServer) -> None:
    with LosesAnswers.from_url(own_server.url) as client:
        store = RedisJobStore(client)
        store.create(job())
        client.breaks, client.meanwhile = True, lambda: store.update("job-1", one_more)
        with pytest.raises(StorageUnavailable, match="is unknown"):
            store.update("job-1", one_more)
        assert store.get("job-1").fence == 2


def test_a_removal_whose_answer_was_lost_is_a_removal(own_server: RedisServer) -> None:
    with LosesAnswers.from_url(own_server.url) as client:
        store = RedisJobStore(client)
        store.create(job())
        client.breaks = True
        with pytest.raises(StorageUnavailable, match="is unknown"):
            store.remove("job-1")
        with pytest.raises(JobNotFound):
            store.get("job-1")


def test_a_server_that_hangs_is_said_after_one_wait(own_server: RedisServer) -> None:
    client = build_client(parse_redis_url(own_server.url), timeout_seconds=0.3)
    store = RedisJobStore(client)
    store.create(job())
    with own_server.hanging(), pytest.raises(StorageUnavailable, match="Timeout"):
        store.get("job-1")
    assert store.update("job-1", one_more).after.version == 2
    client.close()


def test_settings_that_may_lose_jobs_are_named(
    own_server: RedisServer, open_store: OpenStore
) -> None:
    store = open_store(own_server.url)
    assert store.doubts() == []
    with redis.Redis.from_url(own_server.url) as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        admin.config_set("appendonly", "no")
    assert [doubt.rpartition("set ")[2] for doubt in store.doubts()] == [
        "maxmemory-policy noeviction.",
        "appendonly yes.",
    ]


def test_nothing_is_left_of_a_removed_job(own_server: RedisServer, open_store: OpenStore) -> None:
    store = open_store(own_server.url)
    store.create(job(idempotency_key="k", tidy_at=0.0))
    store.update("job-1", lambda found: replace(found, state="completed"))
    store.remove("job-1")
    assert store.ready(["cpu"], 1) == []  # forgets the tenant without ready jobs
    with redis.Redis.from_url(own_server.url) as client:
        assert set(client.scan_iter()) == {b"mt:schema", b"mt:mark", b"mt:changes:"}


# -- ways to reach it ------------------------------------------------------------------------


def works(store: RedisJobStore) -> bool:
    return store.create(job()) == store.get("job-1")


def test_over_tls_with_a_certificate_of_ones_own(tmp_path: Path, open_store: OpenStore) -> None:
    certificate = tmp_path / "redis.crt"
    with RedisServer(tmp_path / "tls", password="p@ss/wörd", certificate=certificate) as server:
        bare = f"rediss://127.0.0.1:{server.port}"
        assert works(open_store(f"{bare}?ssl_ca_certs={certificate}", "p@ss/wörd"))
        assert open_store(f"{bare}?ssl_cert_reqs=none", "p@ss/wörd").version("job-1") == 1
        with pytest.raises(StorageUnavailable, match="certificate"):
            open_store(bare, "p@ss/wörd").ping()


PINGING = """
import sys
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.stores.redis.jobs import RedisJobStore
store = RedisJobStore(parse_redis_url(sys.argv[1]))
store.ping()
store.close()
"""


def test_the_systems_authorities_are_trusted(tmp_path: Path) -> None:
    certificate = tmp_path / "redis.crt"
    with RedisServer(tmp_path / "tls", certificate=certificate) as server:
        trusting = {"SSL_CERT_FILE": str(certificate)}
        subprocess.run([sys.executable, "-c", PINGING, server.url], check=True, env=trusting)


def test_with_a_password(tmp_path: Path, open_store: OpenStore) -> None:
    with RedisServer(tmp_path / "locked", password="s3cret") as server:
        bare = f"redis://127.0.0.1:{server.port}/0"
        assert works(open_store(server.url))
        assert open_store(bare, password="s3cret").version("job-1") == 1
        for wrong in (None, "wr0ng"):
            with pytest.raises(StorageUnavailable, match="REDIS_PASSWORD") as caught:
                open_store(bare, password=wrong).ping()
            assert "wr0ng" not in str(caught.value)


def test_over_a_unix_socket(tmp_path: Path, open_store: OpenStore) -> None:
    place = tmp_path / "redis.sock"
    with RedisServer(tmp_path / "unix", unix_socket=place, password="s3cret") as server:
        assert works(open_store(server.url))
        assert open_store(f"redis+socket://{place}", password="s3cret").version("job-1") == 1


def test_through_sentinels(tmp_path: Path, open_store: OpenStore) -> None:
    with (
        RedisServer(tmp_path / "master", password="s3cret") as master,
        RedisServer(tmp_path / "sentinel", sentinel_of=master) as sentinel,
    ):
        url = f"sentinel://127.0.0.1:{sentinel.port};sentinel://127.0.0.1:1/0"
        assert works(open_store(url, password="s3cret", master="mymaster"))
        assert open_store(master.url).version("job-1") == 1
        with pytest.raises(StorageUnavailable, match=r"sentinel://.*No master"):
            open_store(url, password="s3cret", master="other").ping()


def test_a_failover_of_sentinels_is_followed(tmp_path: Path, open_store: OpenStore) -> None:
    limits = {"down-after-milliseconds": 300, "failover-timeout": 1500}
    soon = [f"sentinel {name} mymaster {limit}" for name, limit in limits.items()]
    with RedisServer(tmp_path / "master") as master:
        copying = [f"replicaof 127.0.0.1 {master.port}"]
        with (
            RedisServer(tmp_path / "replica", options=copying) as replica,
            RedisServer(tmp_path / "sentinel", sentinel_of=master, options=soon) as sentinel,
        ):
            store = open_store(f"sentinel://127.0.0.1:{sentinel.port}", master="mymaster")
            store.create(job())
            wait_until(lambda: "job-1" in str(keys_of(replica)) and knows_replica(sentinel))
            master.kill9()
            wait_until(lambda: answers(store))
            assert store.update("job-1", one_more).after.fence == 1


def keys_of(server: RedisServer) -> object:
    with redis.Redis.from_url(server.url) as client:
        return client.keys()


def knows_replica(sentinel: RedisServer) -> bool:
    with redis.Redis.from_url(sentinel.url) as client:
        return "slave" in str(client.execute_command("SENTINEL REPLICAS", "mymaster"))


def answers(store: RedisJobStore) -> bool:
    try:
        store.ping()
        store.set_fact("alive", "yes")
    except StorageUnavailable:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.1)


def test_another_database_of_the_same_server(
    own_server: RedisServer, open_store: OpenStore
) -> None:
    assert works(open_store(own_server.url))
    with pytest.raises(JobNotFound):
        open_store(f"redis://127.0.0.1:{own_server.port}/3").get("job-1")


def test_a_cluster_is_refused_in_words(tmp_path: Path, open_store: OpenStore) -> None:
    with RedisServer(
        tmp_path / "cluster", options=["cluster-enabled yes", f"cluster-port {free_port()}"]
    ) as server:
        for _ in range(2):
            with pytest.raises(StorageError, match="cluster mode, which job queues cannot use"):
                open_store(server.url).ping()


def test_a_client_of_somebody_else_stays_open(own_server: RedisServer) -> None:
    client = build_client(parse_redis_url(own_server.url))
    store = RedisJobStore(client)
    assert works(store)
    store.close()
    assert client.ping()
    client.close()


FORKING = """
import os, sys
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.stores.redis.jobs import RedisJobStore
from tests.contract.job_samples import job, one_more
store = RedisJobStore(parse_redis_url(sys.argv[1]))
store.create(job())
child = os.fork()
for _ in range(100):
    store.update("job-1", one_more)
assert child == 0 or os.waitpid(child, 0)[1] == 0
store.close()
"""


def test_a_forked_process_has_its_own_connections(own_server: RedisServer) -> None:
    subprocess.run([sys.executable, "-c", FORKING, own_server.url], check=True, timeout=60)
    store = RedisJobStore(parse_redis_url(own_server.url))
    assert store.get("job-1").fence == 200
    store.close()


# -- costs -----------------------------------------------------------------------------------


class NoMessages:
    """A broker without messages."""

    def length(self, _queue: str) -> int:
        return 0


def test_reading_the_queue_costs_the_same_however_many_jobs_have_ended(
    own_server: RedisServer, open_store: OpenStore
) -> None:
    store = open_store(own_server.url)
    client = build_client(parse_redis_url(own_server.url), 10.0)

    def commands_and_bytes() -> tuple[int, int]:
        before = client.info("stats")
        stats = measure_queues(store, cast(JobQueue, NoMessages()), now=200.0)
        assert (stats.oldest_seconds, stats.backlog.active) == (50.0, 10)
        after = client.info("stats")
        names = "total_commands_processed", "total_net_output_bytes"
        commands, sent = (after[name] - before[name] for name in names)
        return commands, sent

    for number in range(10):
        store.create(job(f"active-{number}", created_at=150.0 + number))
    first = commands_and_bytes()
    for number in range(1000):
        store.create(job(f"ended-{number}", state="completed", created_at=100.0))
    again = commands_and_bytes()
    assert again[0] == first[0]
    assert again[1] < 1.2 * first[1]  # INFO itself varies by some digits


def test_the_usage_of_a_tenant_costs_the_same_however_many_recordings_it_stores(
    own_server: RedisServer, open_store: OpenStore
) -> None:
    store = open_store(own_server.url)
    client = build_client(parse_redis_url(own_server.url), 10.0)

    def stored_and_costs() -> tuple[int, int, int]:
        before, names = client.info("stats"), ("total_commands_processed", "total_net_output_bytes")
        stored = store.usage("ann", 0.0).stored_bytes
        after = client.info("stats")
        commands, sent = (after[name] - before[name] for name in names)
        return stored, commands, sent

    def keep(number: int) -> None:
        objects = {"recording": "r"}
        store.create(job(f"j{number}", tenant="ann", size_bytes=number, objects=objects))

    keep(1)
    assert store.usage("ann", 0.0).stored_bytes == 1
    stored, commands, sent = stored_and_costs()
    for number in range(2, 1001):
        keep(number)
    again = stored_and_costs()
    assert (stored, again[0]) == (1, 500_500)
    assert again[1] == commands
    assert again[2] < 1.2 * sent


def test_the_sum_of_stored_bytes_agrees_with_the_records_after_everything(
    own_server: RedisServer, open_store: OpenStore
) -> None:
    store = open_store(own_server.url)
    objects = {"recording": "r"}
    big = 1 << 52
    store.create(job("a", size_bytes=big, objects=objects))
    assert store.usage("", 0.0).stored_bytes == big
    store.create(job("b", size_bytes=3, objects=objects))
    store.update("b", lambda found: replace(found, size_bytes=5))
    assert store.usage("", 0.0).stored_bytes == big + 5
    with redis.Redis.from_url(own_server.url) as client:
        client.delete("mt:schema")
    with closing(RedisJobStore(parse_redis_url(own_server.url))) as rebuilt:
        assert rebuilt.usage("", 0.0).stored_bytes == big + 5
    with redis.Redis.from_url(own_server.url) as client:
        assert 0 < client.ttl("mt:stored_sum:") <= 24 * 3600
        client.delete("mt:stored_sum:")
    assert store.usage("", 0.0).stored_bytes == big + 5
    store.remove("a")
    store.update("b", lambda found: replace(found, objects={}))
    assert store.usage("", 0.0).stored_bytes == 0
