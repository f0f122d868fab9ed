"""URLs of object stores, and what is made of them without asking anybody."""

import pytest

from meet_transcriber.core.errors import StorageError
from meet_transcriber.stores.buckets.store import ObjectMediaStore
from meet_transcriber.stores.buckets.urls import Place


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
    assert Place.parse(url, None)[:3] == place


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
    assert Place.parse("s3://bucket", endpoint).allow_http == allowed


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "gs://bucket"])
def test_a_store_is_made_without_asking_anybody(url: str) -> None:
    assert ObjectMediaStore.from_url(url)


def test_azure_wants_an_account() -> None:
    with pytest.raises(StorageError, match=r"az://container.* Account must be specified"):
        ObjectMediaStore.from_url("az://container/prefix")
