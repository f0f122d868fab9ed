"""Objects as files."""

import errno
import io
import os
import time
from pathlib import Path
from threading import Thread

import pytest

from meet_transcriber.core.errors import StorageError, StorageFull
from meet_transcriber.stores.disk import DiskMediaStore, translated


class Endless(io.RawIOBase):
    """A stream of `chunks` pieces that records the largest read."""

    def __init__(self, chunks: int) -> None:
        self.chunks, self.largest = chunks, 0

    def read(self, size: int = -1, /) -> bytes:
        self.largest = max(self.largest, size)
        self.chunks -= 1
        return b"x" * min(size, 1000) if self.chunks >= 0 else b""


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
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


def test_a_folder_is_not_an_object(tmp_path: Path) -> None:
    store = DiskMediaStore(tmp_path)
    store.put("jobs/1", b"x")
    assert not store.exists("jobs")
    with pytest.raises(StorageError, match="Cannot read jobs"):
        store.get("jobs")


def test_a_key_below_an_object_is_refused_with_a_reason(tmp_path: Path) -> None:
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


def test_an_open_object_outlives_its_replacement(tmp_path: Path) -> None:
    store = DiskMediaStore(tmp_path)
    store.put("key", b"before")
    with store.open("key") as file:
        store.put("key", b"after")
        assert file.read() == b"before"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_settings_that_give_more(number: int) -> None:
    said = pytest.raises(StorageFull, match=r"Cannot write key: .* DATA_DIR or MEDIA_URL")
    with said, translated("write", "key"):
        raise OSError(number, os.strerror(number))


def test_deleting_removes_the_folders_that_held_nothing_else(tmp_path: Path) -> None:
    store = DiskMediaStore(tmp_path)
    for key in ("jobs/1/parts/a", "jobs/2/parts/a", "jobs/2/plan"):
        store.put(key, b"x")
    store.delete("jobs/1/parts/a")
    store.delete("jobs/2/parts")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "jobs", "jobs/2", "jobs/2/plan",
    ]  # fmt: skip


def test_writing_during_a_deletion_works(tmp_path: Path) -> None:
    store = DiskMediaStore(tmp_path)
    ended = time.monotonic() + 0.5

    def come_and_go() -> None:
        while time.monotonic() < ended:
            store.put("jobs/a/b/1", b"x")
            store.delete("jobs/a/b/1")

    other = Thread(target=come_and_go)
    other.start()
    while other.is_alive():
        store.put("jobs/a/b/2", b"x")
        assert store.get("jobs/a/b/2") == b"x"
        store.delete("jobs/a/b/2")


def test_an_object_deleted_during_its_write_stays_deleted(tmp_path: Path) -> None:
    store = DiskMediaStore(tmp_path)
    said = pytest.raises(StorageError, match="Cannot write jobs/1: it was deleted meanwhile")
    with said, store.writer("jobs/1"):
        store.delete("jobs")
    assert store.keys("jobs") == []


def test_old_temporary_files_are_removed(tmp_path: Path) -> None:
    store, scrap = DiskMediaStore(tmp_path), tmp_path / "jobs" / ".new-abc"
    store.put("jobs/1", b"x")
    scrap.write_bytes(b"half")
    os.utime(scrap, (0, time.time() - 100))
    assert store.keys("jobs") == ["jobs/1"]
    assert (store.remove_stale_writes(200), scrap.exists()) == (0, True)
    assert (store.remove_stale_writes(50), scrap.exists()) == (1, False)
    assert store.remove_stale_writes(0) == 0
    assert store.exists("jobs/1")


def test_errors_of_the_callers_code_pass_through_a_writer(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), DiskMediaStore(tmp_path).writer("key"):
        raise ConnectionResetError


def test_a_root_that_is_not_a_folder_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Cannot keep anything in"):
        DiskMediaStore(tmp_path / "file").ping()


def test_there_is_nothing_below_an_object(tmp_path: Path) -> None:
    store = DiskMediaStore(tmp_path)
    store.put("jobs", b"x")
    store.delete("jobs/none/at/all")
    assert not store.exists("jobs/none")
    assert store.keys("jobs/none") == []
    assert store.keys("jobs") == ["jobs"]
