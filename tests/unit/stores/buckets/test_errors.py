"""What object stores say, in sentences."""

import pytest
from obstore import exceptions as said

from meet_transcriber.core.errors import StorageError, StorageUnavailable
from meet_transcriber.stores.buckets.errors import translated

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
def test_each_becomes_a_sentence(error: Exception, kind: type[StorageError], sentence: str) -> None:
    heard = pytest.raises(StorageError, match=f"^Cannot read key: .*{sentence}")
    with heard as caught, translated("read", "key"):
        raise error
    assert type(caught.value) is kind
    assert "<" not in str(caught.value)


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), translated("read", "key"):
        raise KeyError
