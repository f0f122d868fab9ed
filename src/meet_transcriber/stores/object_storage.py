"""A MediaStore on object storage: S3, Google Cloud Storage and Azure Blob Storage."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from queue import Full, Queue
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import obstore
from obstore import exceptions as errors
from obstore.store import AzureStore, GCSStore, S3Store

from meet_transcriber.core.errors import StorageError, StorageUnavailable
from meet_transcriber.core.range_reader import open_blocks
from meet_transcriber.ports.stores import Capacity, ObjectWriter
from meet_transcriber.stores.base import (
    ObjectChanged,
    copy_to,
    cut_pieces,
    is_key,
    read_consistent,
    validate_key,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CONCURRENT_PARTS = 2  # each is held in memory
_LEAST_AHEAD_BYTES, _MOST_AHEAD_BYTES = 256 << 10, 4 << 20
_NOT_FOUND = (FileNotFoundError, errors.NotFoundError)
_PROBE = ".ping"  # not a valid key, so no object has it


class ObjectMediaStore:
    """
    Stores each object as an object of a bucket.

    Uploads are multipart: a failed upload is aborted, and one whose process was killed remains
    in the bucket without being an object. `remove_stale_writes` cannot find those; set a
    lifecycle rule (S3 and Google: AbortIncompleteMultipartUpload; Azure drops them after a week).

    A reader of a replaced object gets what it had read ahead, then StorageError.

    S3 is tested against moto's server. Google's and Azure's stores are not tested.
    """

    def __init__(self, store: "ObjectStore", uploads: "ObjectStore | None" = None) -> None:
        """
        Args:
            store: the bucket.
            uploads: the same bucket with longer timeouts, for requests that carry megabytes.
        """
        self._store, self._uploads = store, uploads or store
        self._may_write = False

    @classmethod
    def from_url(
        cls, url: str, endpoint: str | None = None, patience_seconds: float = 10
    ) -> "ObjectMediaStore":
        """
        Open `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.

        Credentials come from the environment, or from the machine's own role:
        S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a web identity, ECS, EC2; AWS_REGION.
        AWS_PROFILE and ~/.aws are not read. Google: GOOGLE_APPLICATION_CREDENTIALS.
        Azure: AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or others of its kind.

        Args:
            url: as above; the prefix may be missing.
            endpoint: of another store that speaks S3; AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL
                where it is None. Plain http needs an endpoint that begins with http://.
            patience_seconds: how long one request may take; an upload's may take six times
                that, since it carries 5 MiB. Requests that fail are tried again for 8 s.

        Raises:
            StorageError: the URL or the configuration is invalid.
        """
        place = BucketUrl.parse(url, endpoint)
        # Writing has more time: a part of an upload is larger than what is read at once.
        return cls(place.open(patience_seconds), place.open(6 * patience_seconds))

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        with self.writer(key) as writer:
            copy_to(data, writer, key)

    @contextmanager
    def writer(self, key: str) -> Iterator[ObjectWriter]:
        validate_key(key)
        upload = MultipartWriter(lambda data: self._send(key, data))
        try:
            yield upload
            upload.finish()
        except BaseException:
            upload.abandon()
            raise
        finally:
            upload.close()

    def get(self, key: str) -> bytes:
        return read_consistent(lambda: self._open(key, _MOST_AHEAD_BYTES))

    def open(self, key: str) -> BinaryIO:
        return self._open(key, _LEAST_AHEAD_BYTES)

    def size(self, key: str) -> int:
        with translated("read", validate_key(key)):
            return obstore.head(self._store, key)["size"]

    def exists(self, key: str) -> bool:
        with translated("look for", validate_key(key)):
            try:
                obstore.head(self._store, key)
            except _NOT_FOUND:
                return False
            return True

    def keys(self, prefix: str) -> list[str]:
        with translated("list", validate_key(prefix)):
            pages = list(obstore.list(self._store, prefix))
        below = sorted(each["path"] for page in pages for each in page if is_key(each["path"]))
        return [prefix, *below] if self.exists(prefix) else below

    def delete(self, prefix: str) -> None:
        keys = self.keys(prefix)
        with translated("delete", prefix):
            try:
                obstore.delete(self._store, keys)
            except _NOT_FOUND:  # some stores fail when another process deletes the same objects
                for key in keys:
                    with suppress(*_NOT_FOUND):
                        obstore.delete(self._store, key)

    def remove_stale_writes(self, older_than_seconds: float) -> int:  # noqa: ARG002
        return 0

    def capacity(self) -> Capacity | None:
        return None  # unlimited

    def ping(self) -> None:
        """Write and delete a small object the first time; afterwards only list."""
        with translated("keep", "recordings"):
            # Listing costs less, and shows as well that the store responds.
            if not self._may_write:
                obstore.put(self._store, _PROBE, b"")
                obstore.delete(self._store, _PROBE)
            next(iter(obstore.list(self._store, _PROBE, chunk_size=1)), None)
        self._may_write = True

    def _send(self, key: str, data: bytes | Iterator[bytes]) -> None:
        with translated("write", key):
            obstore.put(
                self._uploads,
                key,
                data,
                use_multipart=not isinstance(data, bytes),
                chunk_size=PART_BYTES,
                max_concurrency=_CONCURRENT_PARTS,
            )

    def _open(self, key: str, ahead_bytes: int) -> BinaryIO:
        with translated("read", validate_key(key)):
            found = obstore.head(self._store, key)
        ahead = _RangeReader(self._store, key, found["size"], found["e_tag"], ahead_bytes)
        return open_blocks(found["size"], ahead.fetch)


class _RangeReader:
    """Fetches ranges of one object, each twice as long while it is read in order."""

    def __init__(
        self, store: "ObjectStore", key: str, size: int, e_tag: str | None, ahead_bytes: int
    ) -> None:
        self._store, self._key, self._size, self._e_tag = store, key, size, e_tag
        self._first = self._bytes = ahead_bytes
        self._next = 0

    def fetch(self, position: int) -> tuple[int, bytes]:
        """Return the range that begins at `position`."""
        # A jump, such as to an index at the end: what follows may not be wanted.
        if position != self._next:
            self._bytes = self._first
        end = min(self._size, position + self._bytes)
        with translated("read on in", self._key):
            # Of this version only: parts of two objects would make a third.
            got = obstore.get(
                self._store,
                self._key,
                options={"range": (position, end), "if_match": self._e_tag},
            )
            block = got.bytes().to_bytes()
        self._next, self._bytes = end, min(_MOST_AHEAD_BYTES, 2 * self._bytes)
        return position, block


_KINDS = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
# obstore reads these itself, but allows plain http only on request.
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": (),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}

# Long enough for a restart of the store, short enough for interactive requests.
_RETRIES: Any = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=3),
        "base": 2,
    },
}


class BucketUrl(NamedTuple):
    """A parsed MEDIA_URL, with what the environment adds to it."""

    kind: str
    bucket: str
    prefix: str | None
    config: dict[str, str]
    allow_http: bool

    @classmethod
    def parse(cls, url: str, endpoint: str | None) -> "BucketUrl":
        """Read `s3://bucket/prefix` and its like; raises StorageError for anything else."""
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        if (
            parts.scheme not in _KINDS
            or not is_key(parts.netloc)
            or (prefix and not is_key(prefix))
            or parts.query
            or parts.fragment
        ):
            raise StorageError(
                "MEDIA_URL is not valid. Use s3://bucket/prefix, "
                "gs://bucket/prefix or az://container/prefix."
            )
        config = {"aws_endpoint_url_s3": endpoint} if endpoint and parts.scheme == "s3" else {}
        named = endpoint, *map(os.environ.get, _ENDPOINTS[parts.scheme])
        in_force = next(filter(None, named), "")
        allow_http = in_force.startswith("http://")
        return cls(parts.scheme, parts.netloc, prefix or None, config, allow_http)

    def open(self, patience_seconds: float) -> "ObjectStore":
        """Create a client of the bucket, without a request."""
        options: Any = {
            "allow_http": self.allow_http,
            "connect_timeout": timedelta(seconds=2),
            "timeout": timedelta(seconds=patience_seconds),
        }
        with translated("use", f"{self.kind}://{self.bucket}"):
            made: ObjectStore = _KINDS[self.kind](
                self.bucket,
                prefix=self.prefix,
                config=self.config,
                client_options=options,
                retry_config=_RETRIES,
            )
            return made


_DENIED = (PermissionError, errors.PermissionDeniedError, errors.UnauthenticatedError)
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|specified (bucket|container) does not")
_NO_ANSWER = re.compile(
    r"HTTP error|status code: (5\d\d|408|429)|timed out|connection", re.IGNORECASE
)
# Where machines in a cloud get credentials if the environment has none.
_NO_CREDENTIALS = re.compile(r"169\.254\.169\.254|metadata\.google|[Cc]redentials")
_DETAIL = re.compile(r"<Code>(\w+)</Code>")


@contextmanager
def translated(verb: str, key: str) -> Iterator[None]:
    """Translate errors of obstore; the caller's own pass through."""
    try:
        yield
    except (errors.BaseError, OSError, ValueError) as error:
        raise _translation(f"Cannot {verb} {key}", error) from error


def _translation(what: str, error: Exception) -> StorageError:
    text = str(error)
    brief, kind = _brief(text), StorageError
    if _NO_BUCKET.search(text):
        why = "there is no such bucket. Create it, or correct MEDIA_URL."
    elif isinstance(error, _NOT_FOUND):
        why = "there is no such object."
    elif isinstance(error, errors.PreconditionError):
        why, kind = "it was replaced or deleted meanwhile.", ObjectChanged
    elif isinstance(error, _DENIED):
        why = (
            "the store denies access. Credentials need to list, read, write and delete what "
            f"MEDIA_URL names. It says: {brief}."
        )
    elif _NO_CREDENTIALS.search(brief):
        why = f"there are no credentials for MEDIA_URL. Asked for: {brief}."
    elif _NO_ANSWER.search(brief):
        why, kind = f"the store of MEDIA_URL does not answer: {brief}.", StorageUnavailable
    else:
        why = f"the store of MEDIA_URL says: {brief}."
    return kind(f"{what}: {why}")


def _brief(text: str) -> str:
    """The essence of a message: its first line without bodies, and the code in the body."""
    line = text.partition("\n")[0].partition("<")[0].strip().rstrip(":.,")
    detail = _DETAIL.search(text)
    return f"{line}: {detail[1]}" if detail else line


PART_BYTES = 5 << 20
"""The smallest part that S3 accepts; its limit of 10,000 parts allows 50 GB."""

Send = Callable[[bytes | Iterator[bytes]], None]
"""Stores an object from its bytes or an iterator of parts; aborts if that raises."""


class _Abandoned(Exception):
    """Raised inside an upload so that it is aborted."""


class MultipartWriter:
    """
    Collects bytes into parts, which a thread sends: stores pull, writers push.

    Holds a part that is being filled, one that waits, and those being sent. An object smaller
    than a part is sent at the end with one request and no thread.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._buffer = bytearray()
        self._parts: Queue[bytes | None] = Queue(maxsize=1)
        self._abandoned = False
        self._thread: ThreadPoolExecutor | None = None
        self._sent: Future[None] | None = None

    def write(self, data: bytes, /) -> int:
        for part in cut_pieces(self._buffer, data, PART_BYTES):
            self._queue_part(part)
        return len(data)

    def finish(self) -> None:
        """Return once the object is stored; raises the errors of sending it."""
        # Most objects are small, and one request stores them whole.
        if self._sent is None:
            self._send(bytes(self._buffer))
            return
        if self._buffer:
            self._queue_part(bytes(self._buffer))
        self._queue_part(None)
        self._sent.result()

    def abandon(self) -> None:
        """Abort the upload, if one has begun."""
        self._abandoned = True
        if self._sent is not None:
            with suppress(_Abandoned, StorageError):
                self._queue_part(None)
                self._sent.result()

    def close(self) -> None:
        """Stop the thread."""
        if self._thread:
            self._thread.shutdown()

    def _queue_part(self, part: bytes | None) -> None:
        """Queue a part, when there is space; raises the error of an upload that has failed."""
        if self._sent is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
            self._sent = self._thread.submit(self._send, self._queued_parts())
        # A put without a limit would wait for ever where the sending thread has failed meanwhile.
        while not self._sent.done():
            with suppress(Full):
                self._parts.put(part, timeout=0.1)
                return
        self._sent.result()

    def _queued_parts(self) -> Iterator[bytes]:
        while (part := self._parts.get()) is not None:
            yield part
        if self._abandoned:
            raise _Abandoned
