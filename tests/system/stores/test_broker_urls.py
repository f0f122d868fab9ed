"""Celery's transport reaches Redis by the address that our stores use."""

import uuid
from pathlib import Path
from typing import Any

from kombu.connection import Connection

from meet_transcriber.core.redis_urls import RedisAddress, parse_redis_url
from tests.redis_server import RedisServer


def carries_messages(address: RedisAddress) -> bool:
    options = address.broker_transport_options
    connect: Any = Connection  # has no types
    with connect(address.broker_url, transport_options=options) as connection:
        queue = connection.SimpleQueue(f"test-{uuid.uuid4().hex}")
        queue.put({"job": "1"})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
        return bool(message.payload == {"job": "1"})


def test_over_tls_with_a_password(tmp_path: Path) -> None:
    certificate = tmp_path / "redis.crt"
    with RedisServer(tmp_path / "tls", password="p@ss/w", certificate=certificate) as server:
        url = f"rediss://127.0.0.1:{server.port}"
        assert carries_messages(parse_redis_url(f"{url}?ssl_ca_certs={certificate}", "p@ss/w"))
        assert carries_messages(parse_redis_url(f"{url}?ssl_cert_reqs=none", "p@ss/w"))


def test_over_a_unix_socket(tmp_path: Path) -> None:
    place = tmp_path / "redis.sock"
    with RedisServer(tmp_path / "unix", unix_socket=place, password="s3cret"):
        assert carries_messages(parse_redis_url(f"unix://{place}?db=2", "s3cret"))


def test_through_sentinels(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "master", password="s3cret") as master,
        RedisServer(tmp_path / "sentinel", sentinel_of=master) as sentinel,
    ):
        url = f"sentinel://127.0.0.1:{sentinel.port};sentinel://127.0.0.1:1/1"
        assert carries_messages(parse_redis_url(url, "s3cret", "mymaster"))


def test_in_another_database(redis_server: RedisServer) -> None:
    assert carries_messages(parse_redis_url(f"redis://127.0.0.1:{redis_server.port}/5"))
