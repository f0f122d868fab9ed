"""What the manifests say of Redis and of probes, tried with a real Redis and a real API."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from tests.deploy.kubernetes import live
from tests.redis_server import RedisServer
from tests.simulated.system import System, end, wait_for


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def pinged(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def test_the_manifests_redis_asks_for_its_password_and_keeps_what_it_is_given(
    tmp_path: Path,
) -> None:
    where = str(tmp_path / "socket")
    with live.redis(tmp_path, 'p@ss \\ "word') as process:
        client = Redis(unix_socket_path=where, password='p@ss \\ "word')
        wait_for(lambda: pinged(client))
        with pytest.raises(AuthenticationError):
            Redis(unix_socket_path=where).get("x")
        told = client.config_get()
        assert (told["appendonly"], told["appendfsync"]) == ("yes", "always")
        assert (told["maxmemory-policy"], told["maxmemory"]) == ("noeviction", str(640 << 20))
        assert "p@ss" not in Path(f"/proc/{process.pid}/cmdline").read_text()
        assert end(process, signal.SIGTERM) < 30
        assert process.returncode == 0
    client.close()


def test_without_a_password_there_is_no_redis(tmp_path: Path) -> None:
    with live.redis(tmp_path, "") as process:
        assert process.wait(30) != 0


def test_probes_tell_a_redis_that_is_away_from_a_process_that_is(
    tmp_path: Path, server: RedisServer
) -> None:
    with (
        System(tmp_path, REDIS_URL=server.url) as system,
        live.api(system) as client,
    ):
        assert client.get("/health/ready").status_code == 503  # nobody works yet
        assert client.get("/health/ready?worker=false").status_code == 200
        system.celery()
        wait_for(lambda: client.get("/health/ready").is_success)
        server.stop()
        assert wait_for(lambda: client.get("/health/ready?worker=false").status_code == 503)
        assert client.get("/health").status_code == 200
        server.start()
        wait_for(lambda: client.get("/health/ready?worker=false").is_success)


def test_a_redis_that_is_away_is_no_empty_queue(tmp_path: Path, server: RedisServer) -> None:
    known, headers = live.keys()
    with (
        System(tmp_path, REDIS_URL=server.url, AUTH_MODE="required", API_KEYS=known) as system,
        live.api(system) as client,
    ):
        asked: httpx.Response = client.get("/queue", headers=headers)
        assert (asked.status_code, asked.json()["celery_queue_length"]) == (200, 0)
        assert client.get("/transcribe", headers=headers).status_code == 403
        server.stop()
        assert client.get("/queue", headers=headers).status_code == 503
