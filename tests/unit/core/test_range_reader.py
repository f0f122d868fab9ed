"""Files over blocks."""

import io

import pytest

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.range_reader import BlockReader, open_blocks
from meet_transcriber.stores.base import ObjectChanged, read_consistent

DATA = bytes(range(250))


class Blocks:
    """Serves DATA in blocks of a hundred bytes and notes where it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def fetch(self, position: int) -> tuple[int, bytes]:
        self.asked.append(position)
        start = position // 100 * 100
        return start, DATA[start : start + 100]


def test_a_block_is_fetched_once_when_needed() -> None:
    blocks = Blocks()
    file = BlockReader(len(DATA), blocks.fetch)
    file.seek(120)
    assert blocks.asked == []
    assert [file.read(10), file.read(10)] == [DATA[120:130], DATA[130:140]]
    assert blocks.asked == [120]


def test_all_is_read_block_by_block() -> None:
    blocks = Blocks()
    assert BlockReader(len(DATA), blocks.fetch).readall() == DATA
    assert blocks.asked == [0, 100, 200]


def test_nothing_is_fetched_beyond_the_end() -> None:
    blocks = Blocks()
    with open_blocks(len(DATA), blocks.fetch) as file:
        file.seek(300)
        assert (file.read(), file.read(5), file.tell()) == (b"", b"", 300)
    assert blocks.asked == []


def test_positions_before_the_start_are_refused() -> None:
    with open_blocks(len(DATA), Blocks().fetch) as file:
        for offset, whence in ((-1, io.SEEK_SET), (-251, io.SEEK_END), (-1, io.SEEK_CUR)):
            with pytest.raises(ValueError, match="negative seek"):
                file.seek(offset, whence)


def test_errors_of_fetching_pass_through_reads() -> None:
    def fetch(position: int) -> tuple[int, bytes]:
        raise StorageError("gone")

    with open_blocks(10, fetch) as file, pytest.raises(StorageError, match="gone"):
        file.read(1)


def test_a_consistent_read_restarts_when_the_object_changes() -> None:
    changes = [ObjectChanged("replaced"), ObjectChanged("replaced")]

    def fetch(position: int) -> tuple[int, bytes]:
        if changes:
            raise changes.pop()
        return 0, DATA

    assert read_consistent(lambda: open_blocks(len(DATA), fetch)) == DATA


def test_a_constantly_changing_object_is_an_error() -> None:
    def fetch(position: int) -> tuple[int, bytes]:
        raise ObjectChanged("replaced")

    with pytest.raises(ObjectChanged):
        read_consistent(lambda: open_blocks(len(DATA), fetch))
