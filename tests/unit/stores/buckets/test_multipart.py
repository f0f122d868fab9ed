"""Writers that become uploads."""

from collections.abc import Iterator

import pytest

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.stores.buckets.multipart import PART_BYTES, Upload


class Bucket:
    """Takes whatever an upload sends; breaks after so many parts."""

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
    upload = Upload(bucket.send)
    upload.write(bytes(size))
    assert bucket.sizes == []
    upload.finish()
    assert (bucket.sizes, bucket.kept) == ([size], True)


@pytest.mark.parametrize("rest", [0, 1])
def test_parts_are_of_one_size_but_for_the_last(rest: int) -> None:
    bucket = Bucket()
    upload = Upload(bucket.send)
    for size in (PART_BYTES // 2, PART_BYTES, PART_BYTES // 2 + rest):
        upload.write(bytes(size))
    upload.finish()
    upload.close()
    assert (bucket.sizes, bucket.kept) == ([PART_BYTES] * 2 + [rest] * (rest > 0), True)


def test_a_store_that_breaks_stops_the_writer() -> None:
    upload = Upload(Bucket(breaks_after=2).send)
    with pytest.raises(StorageUnavailable):
        upload.write(bytes(9 * PART_BYTES))
    upload.abandon()
    upload.close()


def test_a_store_that_breaks_at_the_end_is_heard() -> None:
    upload = Upload(Bucket(breaks_after=2).send)
    upload.write(bytes(PART_BYTES + 1))
    with pytest.raises(StorageUnavailable):
        upload.finish()
    upload.close()


def test_an_abandoned_upload_is_broken_off() -> None:
    bucket = Bucket()
    upload = Upload(bucket.send)
    upload.write(bytes(PART_BYTES + 1))
    upload.abandon()
    upload.close()
    assert (bucket.sizes, bucket.kept) == ([PART_BYTES], False)


def test_what_was_never_begun_need_not_be_broken_off() -> None:
    bucket = Bucket()
    upload = Upload(bucket.send)
    upload.write(b"x")
    upload.abandon()
    assert bucket.kept is None
