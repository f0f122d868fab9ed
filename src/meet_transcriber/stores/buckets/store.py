"""A MediaStore on the object stores of clouds, and on what speaks S3 elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

import obstore

from meet_transcriber.core.range_reader import open_blocks
from meet_transcriber.ports.stores import ObjectWriter, Room
from meet_transcriber.stores.buckets.errors import translated
from meet_transcriber.stores.buckets.multipart import PART_BYTES, Upload
from meet_transcriber.stores.buckets.urls import Place
from meet_transcriber.stores.object_io import checked, is_key, pour, read_whole

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PARTS_UNDER_WAY = 2
_LEAST_AHEAD_BYTES, _MOST_AHEAD_BYTES = 256 << 10, 4 << 20
_PROBE = ".ping"  # no key, so never in anybody's way


class ObjectMediaStore:
    """
    Keeps each object as an object of a bucket.

    Uploads are multipart: an upload that fails is aborted, and one whose process was killed
    stays in the bucket without being an object. `tidy` cannot find those; set a lifecycle rule
    (S3: AbortIncompleteMultipartUpload; Google: the same; Azure forgets them after a week).

    A reader of an object that is replaced gets what it had read ahead, then StorageError.

    S3 is run in the tests, against moto's server. Of Google's and Azure's stores only the way
    there is: neither has been talked to.
    """

    def __init__(self, store: "ObjectStore", uploads: "ObjectStore | None" = None) -> None:
        """
        Args:
            store: where objects are.
            uploads: the same place, with more patience, for requests that carry megabytes.
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
                where it is None. Plain http is allowed where it says so.
            patience_seconds: how long one request may take; an upload's may take six times
                that, since it carries 5 MiB. Requests that fail are tried again for 8 s.

        Raises:
            StorageError: the URL or the configuration makes no sense.
        """
        place = Place.parse(url, endpoint)
        return cls(place.open(patience_seconds), place.open(6 * patience_seconds))

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        with self.writer(key) as writer:
            pour(data, writer, key)

    @contextmanager
    def writer(self, key: str) -> Iterator[ObjectWriter]:
        checked(key)
        upload = Upload(lambda data: self._send(key, data))
        try:
            yield upload
            upload.finish()
        except BaseException:
            upload.abandon()
            raise
        finally:
            upload.close()

    def get(self, key: str) -> bytes:
        return read_whole(lambda: self._open(key, _MOST_AHEAD_BYTES))

    def open(self, key: str) -> BinaryIO:
        return self._open(key, _LEAST_AHEAD_BYTES)

    def size(self, key: str) -> int:
        with translated("read", checked(key)):
            return obstore.head(self._store, key)["size"]

    def exists(self, key: str) -> bool:
        with translated("look for", checked(key)):
            try:
                obstore.head(self._store, key)
            except (FileNotFoundError, obstore.exceptions.NotFoundError):
                return False
            return True

    def keys(self, prefix: str) -> list[str]:
        with translated("list", checked(prefix)):
            pages = list(obstore.list(self._store, prefix))
        below = sorted(each["path"] for page in pages for each in page if is_key(each["path"]))
        return [prefix, *below] if self.exists(prefix) else below

    def delete(self, prefix: str) -> None:
        keys = self.keys(prefix)
        with translated("delete", prefix):
            try:
                obstore.delete(self._store, keys)
            except (FileNotFoundError, obstore.exceptions.NotFoundError):
                self._delete_one_by_one(keys)

    def tidy(self, older_than_seconds: float) -> int:  # noqa: ARG002
        return 0

    def room(self) -> Room | None:
        return None  # as much as is paid for

    def ping(self) -> None:
        """Write and delete a small object the first time; afterwards list nothing."""
        with translated("keep", "recordings"):
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
                max_concurrency=_PARTS_UNDER_WAY,
            )

    def _open(self, key: str, ahead_bytes: int) -> BinaryIO:
        with translated("read", checked(key)):
            found = obstore.head(self._store, key)
        ahead = _Ahead(self._store, key, found["size"], found["e_tag"], ahead_bytes)
        return open_blocks(found["size"], ahead.fetch)

    def _delete_one_by_one(self, keys: list[str]) -> None:
        """For stores that mind when somebody else deletes the same."""
        for key in keys:
            with suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
                obstore.delete(self._store, key)


class _Ahead:
    """Fetches ranges of one object: twice as much as before while it is read in order."""

    def __init__(
        self, store: "ObjectStore", key: str, size: int, e_tag: str | None, ahead_bytes: int
    ) -> None:
        self._store, self._key, self._size, self._e_tag = store, key, size, e_tag
        self._first = self._bytes = ahead_bytes
        self._next = 0

    def fetch(self, position: int) -> tuple[int, bytes]:
        """Return the range that begins at `position`."""
        if position != self._next:
            self._bytes = self._first
        end = min(self._size, position + self._bytes)
        with translated("read on in", self._key):
            got = obstore.get(
                self._store,
                self._key,
                options={"range": (position, end), "if_match": self._e_tag},
            )
            block = got.bytes().to_bytes()
        self._next, self._bytes = end, min(_MOST_AHEAD_BYTES, 2 * self._bytes)
        return position, block
