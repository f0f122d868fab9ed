"""What every MediaStore promises."""

import io
from pathlib import Path

import pytest

from meet_transcriber.core.errors import StorageError
from meet_transcriber.ports import MediaStore
from meet_transcriber.stores.disk import DiskMediaStore


@pytest.fixture
def disk_store(tmp_path: Path) -> MediaStore:
    return DiskMediaStore(tmp_path / "data")


@pytest.fixture(params=["disk"])
def store(request: pytest.FixtureRequest) -> MediaStore:
    made: MediaStore = request.getfixturevalue(f"{request.param}_store")
    return made


def test_what_was_put_is_got(store: MediaStore) -> None:
    store.put("jobs/1/plan.json", b"{}")
    assert store.get("jobs/1/plan.json") == b"{}"


def test_a_stream_is_put_whole(store: MediaStore) -> None:
    data = bytes(range(256)) * 20_000
    store.put("upload", io.BytesIO(data))
    assert store.get("upload") == data


def test_an_empty_object_is_an_object(store: MediaStore) -> None:
    store.put("empty", b"")
    assert store.exists("empty")
    assert store.get("empty") == b""


def test_putting_again_replaces(store: MediaStore) -> None:
    store.put("key", b"long before")
    store.put("key", b"after")
    assert store.get("key") == b"after"


def test_an_open_object_can_be_read_anywhere(store: MediaStore) -> None:
    store.put("key", b"0123456789")
    with store.open("key") as file:
        assert file.seekable()
        file.seek(-3, 2)
        assert file.read() == b"789"
        file.seek(2)
        assert file.read(2) == b"23"


def test_an_open_object_outlives_its_replacement(store: MediaStore) -> None:
    store.put("key", b"before")
    with store.open("key") as file:
        store.put("key", b"after")
        assert file.read() == b"before"


def test_what_is_not_there_is_said(store: MediaStore) -> None:
    assert not store.exists("nothing/here")
    for read in (store.get, store.open):
        with pytest.raises(StorageError, match="no such object"):
            read("nothing/here")


def test_a_stream_that_breaks_leaves_the_old_object(store: MediaStore) -> None:
    class Broken(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise ConnectionResetError("gone")

    store.put("key", b"before")
    with pytest.raises(StorageError):
        store.put("key", Broken())
    assert store.get("key") == b"before"


def test_deleting_takes_all_below_and_nothing_beside(store: MediaStore) -> None:
    for key in ("jobs/1", "jobs/10/a", "jobs/2/a", "jobs/2/b/c"):
        store.put(key, b"x")
    store.delete("jobs/1")
    store.delete("jobs/2")
    left = [key for key in ("jobs/1", "jobs/10/a", "jobs/2/a", "jobs/2/b/c") if store.exists(key)]
    assert left == ["jobs/10/a"]


def test_deleting_what_is_not_there_is_fine(store: MediaStore) -> None:
    store.delete("jobs/none")


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../up", "a/../../b", "a//b", "a/", ".", "..", "a/.hidden", "a\\b", "a\n"],
)
def test_keys_that_lead_elsewhere_are_refused(store: MediaStore, key: str) -> None:
    with pytest.raises(StorageError, match="no valid key"):
        store.put(key, b"x")
    with pytest.raises(StorageError, match="no valid key"):
        store.get(key)
    with pytest.raises(StorageError, match="no valid key"):
        store.delete(key)
