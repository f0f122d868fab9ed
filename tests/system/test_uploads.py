"""Uploads of their own: pieces in Redis and in a bucket, and straight into a bucket."""

import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from meet_transcriber.core.errors import InvalidOptions, UploadConflict, UploadTooLarge
from meet_transcriber.core.jobs import Job
from meet_transcriber.ports.stores import MediaStore
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.stores.buckets.store import ObjectMediaStore
from meet_transcriber.stores.redis.media import RedisMediaStore
from tests.contract.media_store import noise
from tests.contract.uploads import UploadsContract
from tests.system.media_servers import aws_environment, moto_server, redis_server
from tests.unit.api.service_fixture import make_service, stored_keys


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with aws_environment(), moto_server(tmp_path_factory.mktemp("moto")) as address:
        put(f"{address}/recordings", b"")
        yield address


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with redis_server(tmp_path_factory.mktemp("redis")) as path:
        yield path


@pytest.fixture
def bucket(endpoint: str) -> ObjectMediaStore:
    return ObjectMediaStore.from_url(f"s3://recordings/{uuid.uuid4().hex}", endpoint)


def put(url: str, data: bytes) -> None:
    """What a client does with a signed URL."""
    kind = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(url, data, kind, method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        pass


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


@pytest.fixture
def service(tmp_path: Path, bucket: ObjectMediaStore) -> Service:
    return make_service(tmp_path, media=bucket)


def signed(service: Service, size: int) -> tuple[Job, str]:
    """A new upload, and where to put it."""
    job = service.uploads.create("a.wav", size)
    signed_put = service.uploads.sign(job)
    assert signed_put is not None
    assert signed_put.headers == {}
    return job, signed_put.url


def test_a_recording_goes_straight_into_the_bucket(service: Service) -> None:
    data = noise(100_000)
    job, url = signed(service, len(data))
    with pytest.raises(UploadConflict, match="Only 0 of 100000"):
        service.uploads.submit(job.id, SubmissionRequest())
    put(url, data)
    made = service.uploads.submit(job.id, SubmissionRequest())
    assert service.uploads.submit(job.id, SubmissionRequest()).id == made.id == job.id
    _, file, size = service.queries.audio(job.id)
    with file:
        assert (file.read(), size) == (data, len(data))


def test_what_is_in_the_bucket_is_as_large_as_announced(service: Service) -> None:
    job, url = signed(service, 1000)
    put(url, bytes(999))
    with pytest.raises(UploadConflict, match="Only 999"):
        service.uploads.submit(job.id, SubmissionRequest())
    put(url, bytes(1001))
    with pytest.raises(UploadTooLarge, match="1001"):
        service.uploads.submit(job.id, SubmissionRequest())


def test_what_is_put_after_the_end_is_found_and_removed(service: Service) -> None:
    job, url = signed(service, 4)
    service.uploads.discard(job.id)
    put(url, b"late")
    assert stored_keys(service) != []
    (due,) = service.context.jobs.due(float("inf"), 9)
    assert due == job.id


def test_nothing_goes_through_us_that_goes_into_the_bucket(service: Service) -> None:
    job, _ = signed(service, 4)
    with pytest.raises(UploadConflict, match="straight to the bucket"):
        service.uploads.receive(job.id, 0)


def test_without_a_bucket_nothing_is_signed(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with pytest.raises(InvalidOptions, match="MEDIA_URL"):
        service.uploads.create("a.wav", 4, "signed")
    assert service.uploads.sign(service.uploads.create("a.wav", 4)) is None
