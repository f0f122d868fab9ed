"""Objects as files."""

import io
from pathlib import Path
from threading import Thread

import pytest

from meet_transcriber.core.errors import StorageError
from meet_transcriber.stores.disk import DiskMediaStore


class Endless(io.RawIOBase):
    """Hands out `chunks` pieces and remembers the largest piece asked for."""

    def __init__(self, chunks: int) -> None:
        self.chunks, self.largest = chunks, 0

    def read(self, size: int = -1, /) -> bytes:
        self.largest = max(self.largest, size)
        self.chunks -= 1
        return b"x" * min(size, 1000) if self.chunks >= 0 else b""


def test_no_scrap_is_left_after_a_broken_write(tmp_path: Path) -> None:
    class Cancelled(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DiskMediaStore(tmp_path).put("jobs/1", Cancelled())
    assert list((tmp_path / "jobs").iterdir()) == []


def test_streams_are_copied_in_pieces(tmp_path: Path) -> None:
    stream = Endless(50)
    DiskMediaStore(tmp_path).put("key", stream)  # type: ignore[arg-type]
    assert 0 < stream.largest <= 1 << 20
    assert (tmp_path / "key").stat().st_size == 50_000


def test_readers_never_see_half_an_object(tmp_path: Path) -> None:
    store, seen = DiskMediaStore(tmp_path), set()
    store.put("key", b"a" * 100_000)

    def replace() -> None:
        for _ in range(20):
            store.put("key", b"b" * 200_000)

    writer = Thread(target=replace)
    writer.start()
    while writer.is_alive():
        seen.add(len(store.get("key")))
    assert seen <= {100_000, 200_000}


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    store = DiskMediaStore(tmp_path)
    store.put("jobs/1", b"x")
    assert not store.exists("jobs")
    with pytest.raises(StorageError, match="Cannot read jobs"):
        store.get("jobs")


def test_a_key_below_an_object_is_refused_in_words(tmp_path: Path) -> None:
    store = DiskMediaStore(tmp_path)
    store.put("jobs", b"x")
    with pytest.raises(StorageError, match="Cannot write jobs/1"):
        store.put("jobs/1", b"x")


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    store = DiskMediaStore(tmp_path / "data")
    store.put("jobs/1", b"x")
    (tmp_path / "data" / "jobs" / "link").symlink_to(outside)
    store.delete("jobs")
    assert (outside / "kept").exists()
