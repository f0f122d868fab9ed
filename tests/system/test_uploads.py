"""Resumable uploads whose pieces are kept in Redis and in a bucket."""

import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from meet_transcriber.ports.stores import MediaStore
from meet_transcriber.stores.object_storage import ObjectMediaStore
from meet_transcriber.stores.redis.media import RedisMediaStore
from tests.contract.uploads import UploadsContract
from tests.system.media_servers import aws_environment, moto_server, redis_server


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with aws_environment(), moto_server(tmp_path_factory.mktemp("moto")) as address:
        bucket = urllib.request.Request(f"{address}/recordings", method="PUT")
        with urllib.request.urlopen(bucket, timeout=30):
            pass
        yield address


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with redis_server(tmp_path_factory.mktemp("redis")) as path:
        yield path


@pytest.fixture
def bucket(endpoint: str) -> ObjectMediaStore:
    return ObjectMediaStore.from_url(f"s3://recordings/{uuid.uuid4().hex}", endpoint)


class TestInRedis(UploadsContract):
    """A real server."""

    @pytest.fixture
    def store(self, socket: Path) -> Iterator[MediaStore]:
        with redis.Redis(unix_socket_path=str(socket)) as client:
            client.flushall()
            yield RedisMediaStore(client, 64 << 20)


class TestInABucket(UploadsContract):
    """moto's server, in a process of its own."""

    @pytest.fixture
    def store(self, bucket: ObjectMediaStore) -> MediaStore:
        return bucket
