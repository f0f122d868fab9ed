"""Object stores: their URLs, errors and multipart uploads, without a network."""

from collections.abc import Iterator

import pytest
from obstore import exceptions as said

from meet_transcriber.core.errors import StorageError, StorageUnavailable
from meet_transcriber.stores.object_storage import (
    PART_BYTES,
    BucketUrl,
    MultipartWriter,
    ObjectMediaStore,
    translated,
)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket", ("s3", "bucket", None)),
        ("s3://bucket/", ("s3", "bucket", None)),
        ("gs://my.bucket/a/b/", ("gs", "my.bucket", "a/b")),
        ("az://container/prefix", ("az", "container", "prefix")),
    ],
)
def test_a_url_names_a_bucket_and_a_prefix(url: str, place: tuple[str, str, str | None]) -> None:
    assert BucketUrl.parse(url, None)[:3] == place


@pytest.mark.parametrize(
    "url",
    [
        "", "bucket", "s3://", "s3:///key", "ftp://bucket", "s3://key:secret@bucket",
        "s3://bucket/../other", "s3://bucket?region=x", "file:///data",
    ],
)  # fmt: skip
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(StorageError, match=r"MEDIA_URL .* s3://bucket/prefix") as caught:
        ObjectMediaStore.from_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://minio:9000", "https://minio:9000", None])
def test_plain_http_is_allowed_where_an_endpoint_says_so(endpoint: str | None) -> None:
    allowed = endpoint is not None and endpoint.startswith("http://")
    assert BucketUrl.parse("s3://bucket", endpoint).allow_http == allowed


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "gs://bucket"])
def test_a_store_is_built_without_a_request(url: str) -> None:
    assert ObjectMediaStore.from_url(url)


def test_azure_requires_an_account() -> None:
    with pytest.raises(StorageError, match=r"az://container.* Account must be specified"):
        ObjectMediaStore.from_url("az://container/prefix")


TIMED_OUT = "Generic S3 error: Error performing GET http://s3/b/k in 3s - HTTP error: error sending"
NO_BUCKET = 'Object not found: 404 Not Found: <?xml version="1.0"?><Code>NoSuchBucket</Code>'
IMDS = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms - HTTP error: refused"
SLOW_DOWN = "Server returned non-2xx status code: 503 Slow: <Error><Code>SlowDown</Code></Error>"
OTHER = (
    "Generic S3 error: status code: 400: <Error><Code>BadDigest</Code></Error>\n\nDebug: HTTP error"
)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (said.GenericError(TIMED_OUT), StorageUnavailable, "MEDIA_URL does not answer"),
        (said.GenericError(SLOW_DOWN), StorageUnavailable, "503 Slow: SlowDown"),
        (said.GenericError(NO_BUCKET), StorageError, "no such bucket"),
        (FileNotFoundError(NO_BUCKET), StorageError, "no such bucket"),
        (FileNotFoundError("Object not found"), StorageError, "no such object"),
        (said.GenericError(IMDS), StorageError, "no credentials for MEDIA_URL"),
        (said.UnauthenticatedError("401"), StorageError, "denies access"),
        (PermissionError("403"), StorageError, "denies access"),
        (said.GenericError(OTHER), StorageError, "says: .*: 400: BadDigest"),
    ],
)
def test_each_error_becomes_a_sentence(
    error: Exception, kind: type[StorageError], sentence: str
) -> None:
    heard = pytest.raises(StorageError, match=f"^Cannot read key: .*{sentence}")
    with heard as caught, translated("read", "key"):
        raise error
    assert type(caught.value) is kind
    assert "<" not in str(caught.value)


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), translated("read", "key"):
        raise KeyError


class Bucket:
    """Accepts an upload, and fails after so many parts."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.breaks_after = breaks_after
        self.sizes: list[int] = []
        self.kept: bool | None = None

    def send(self, data: bytes | Iterator[bytes]) -> None:
        self.kept = False
        for part in [data] if isinstance(data, bytes) else data:
            self.sizes.append(len(part))
            if len(self.sizes) == self.breaks_after:
                raise StorageUnavailable("gone")
        self.kept = True


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1])
def test_a_small_object_is_sent_at_once(size: int) -> None:
    bucket = Bucket()
    upload = MultipartWriter(bucket.send)
    upload.write(bytes(size))
    assert bucket.sizes == []
    upload.finish()
    assert (bucket.sizes, bucket.kept) == ([size], True)


@pytest.mark.parametrize("rest", [0, 1])
def test_all_parts_but_the_last_have_the_same_size(rest: int) -> None:
    bucket = Bucket()
    upload = MultipartWriter(bucket.send)
    for size in (PART_BYTES // 2, PART_BYTES, PART_BYTES // 2 + rest):
        upload.write(bytes(size))
    upload.finish()
    upload.close()
    assert (bucket.sizes, bucket.kept) == ([PART_BYTES] * 2 + [rest] * (rest > 0), True)


def test_a_failing_store_stops_the_writer() -> None:
    upload = MultipartWriter(Bucket(breaks_after=2).send)
    with pytest.raises(StorageUnavailable):
        upload.write(bytes(9 * PART_BYTES))
    upload.abandon()
    upload.close()


def test_an_error_at_the_end_is_raised() -> None:
    upload = MultipartWriter(Bucket(breaks_after=2).send)
    upload.write(bytes(PART_BYTES + 1))
    with pytest.raises(StorageUnavailable):
        upload.finish()
    upload.close()


def test_an_abandoned_upload_is_aborted() -> None:
    bucket = Bucket()
    upload = MultipartWriter(bucket.send)
    upload.write(bytes(PART_BYTES + 1))
    upload.abandon()
    upload.close()
    assert (bucket.sizes, bucket.kept) == ([PART_BYTES], False)


def test_an_upload_that_never_began_is_not_aborted() -> None:
    bucket = Bucket()
    upload = MultipartWriter(bucket.send)
    upload.write(b"x")
    upload.abandon()
    assert bucket.kept is None
