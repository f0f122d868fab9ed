"""The contract of MediaStore; one class of tests per adapter inherits it."""

import io
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meet_transcriber.core.errors import StorageError
from meet_transcriber.ports.stores import MediaStore

BORDER_BYTES = 512 * 1024
"""Where pieces of stores begin and end: at multiples of this."""

WRONG_KEYS = [
    "", "/etc/passwd", "../up", "a/../../b", "a//b", "a/", ".", "..", "a/.hidden", "a\\b", "a\n",
]  # fmt: skip

near_borders = st.builds(
    lambda pieces, beside: max(0, pieces * BORDER_BYTES + beside),
    st.integers(0, 4),
    st.integers(-2, 2),
)
few = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
several = settings(few, max_examples=40)
seeks = st.tuples(
    st.just("seek"),
    st.one_of(
        st.tuples(st.integers(0, 3 * BORDER_BYTES), st.just(io.SEEK_SET)),
        st.tuples(st.integers(-BORDER_BYTES, 0), st.just(io.SEEK_END)),
        st.tuples(st.integers(0, BORDER_BYTES), st.just(io.SEEK_CUR)),
    ),
)
reads = st.tuples(
    st.sampled_from(["read", "readinto", "readline"]), st.tuples(st.integers(0, BORDER_BYTES + 9))
)


def noise(size: int, seed: int = 0) -> bytes:
    """Random bytes, which no error reproduces by chance."""
    return random.Random(seed).randbytes(size)


def act(file: BinaryIO, name: str, arguments: tuple[int, ...]) -> object:
    """Do one thing with an open file; returns its observable state."""
    if name == "readinto":
        room = bytearray(arguments[0])
        return cast(io.BufferedReader, file).readinto(room), bytes(room), file.tell()
    return getattr(file, name)(*arguments), file.tell()


def written(store: MediaStore, key: str, data: bytes, then: BaseException) -> None:
    """Fill a writer, and call a function before it ends."""
    with store.writer(key) as writer:
        writer.write(data)
        raise then


def read_unless_gone(read: Callable[[], bytes]) -> bytes | None:
    """The bytes; None if the store raises that the object is gone."""
    try:
        return read()
    except StorageError as error:
        if "replaced or deleted" not in str(error):
            raise
        return None


class MediaStoreContract:
    """Asks for a fixture `store`, empty at the beginning of each test."""

    def test_an_object_reads_back_equal(self, store: MediaStore) -> None:
        store.put("jobs/1/plan.json", b"{}")
        assert store.get("jobs/1/plan.json") == b"{}"

    def test_a_stream_is_put_whole(self, store: MediaStore) -> None:
        data = noise(3_000_000)
        store.put("upload", io.BytesIO(data))
        assert store.get("upload") == data

    def test_an_empty_object_is_an_object(self, store: MediaStore) -> None:
        store.put("empty", b"")
        assert store.exists("empty")
        assert (store.get("empty"), store.size("empty")) == (b"", 0)
        assert store.keys("empty") == ["empty"]
        with store.open("empty") as file:
            assert file.read() == b""

    def test_putting_again_replaces(self, store: MediaStore) -> None:
        store.put("key", noise(1_000_000))
        store.put("key", b"after")
        assert (store.get("key"), store.size("key")) == (b"after", 5)
        assert store.keys("key") == ["key"]

    @given(size=near_borders, seed=st.integers(0, 9))
    @few
    def test_every_byte_comes_back(self, store: MediaStore, size: int, seed: int) -> None:
        data = noise(size, seed)
        store.put("key", data)
        assert store.get("key") == data
        assert store.size("key") == size

    @given(sizes=st.lists(near_borders, max_size=4))
    @few
    def test_pieces_of_any_size_are_joined(self, store: MediaStore, sizes: list[int]) -> None:
        pieces = [noise(size, seed) for seed, size in enumerate(sizes)]
        with store.writer("key") as writer:
            for piece in pieces:
                writer.write(piece)
        with store.open("key") as file:
            assert file.read() == b"".join(pieces)

    def test_an_object_appears_when_its_writer_ends(self, store: MediaStore) -> None:
        with store.writer("jobs/1/upload") as writer:
            writer.write(noise(1_200_000))
            assert not store.exists("jobs/1/upload")
            assert store.keys("jobs") == []
        assert store.keys("jobs") == ["jobs/1/upload"]

    def test_readers_get_the_old_object_until_then(self, store: MediaStore) -> None:
        store.put("key", b"before")
        with store.writer("key") as writer:
            writer.write(noise(1_200_000))
            assert store.get("key") == b"before"

    @pytest.mark.parametrize("size", [0, 10, 1_200_000, 12_000_000])
    def test_a_failed_writer_leaves_nothing(self, store: MediaStore, size: int) -> None:
        with pytest.raises(ConnectionResetError):
            written(store, "jobs/1/upload", noise(size), ConnectionResetError())
        assert not store.exists("jobs/1/upload")
        assert store.keys("jobs") == []
        assert store.remove_stale_writes(0) == 0

    def test_a_failed_writer_leaves_the_old_object(self, store: MediaStore) -> None:
        store.put("key", b"before")
        with pytest.raises(KeyboardInterrupt):
            written(store, "key", noise(1_200_000), KeyboardInterrupt())
        assert store.get("key") == b"before"

    def test_a_failing_stream_leaves_the_old_object(self, store: MediaStore) -> None:
        class Broken(io.BytesIO):
            def read(self, _: int | None = -1, /) -> bytes:
                raise ConnectionResetError("gone")

        store.put("key", b"before")
        with pytest.raises(StorageError, match="reading its source failed"):
            store.put("key", Broken())
        assert store.get("key") == b"before"

    def test_the_last_of_two_writers_wins(self, store: MediaStore) -> None:
        with store.writer("key") as first:
            first.write(noise(700_000, 1))
            with store.writer("key") as second:
                second.write(noise(600_000, 2))
            first.write(noise(700_000, 3))
        assert store.get("key") == noise(700_000, 1) + noise(700_000, 3)

    def test_writers_at_the_same_time_never_mix(self, store: MediaStore) -> None:
        versions = [noise(1_500_000 + seed, seed) for seed in range(4)]
        start = Barrier(len(versions))

        def write(data: bytes) -> None:
            start.wait()
            store.put("key", io.BytesIO(data))

        with ThreadPoolExecutor(len(versions)) as pool:
            list(pool.map(write, versions))
        assert store.get("key") in versions

    def test_readers_during_a_write_never_see_a_mixture(self, store: MediaStore) -> None:
        versions = noise(1_300_000, 1), noise(1_300_000, 2)
        store.put("key", versions[0])

        def replace() -> None:
            for number in range(6):
                store.put("key", versions[number % 2])

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(replace)
            while not done.done():
                assert read_unless_gone(lambda: store.get("key")) in {None, *versions}

    def test_an_open_object_is_never_another_one(self, store: MediaStore) -> None:
        store.put("key", noise(1_300_000, 1))
        with store.open("key") as file:
            store.put("key", noise(1_300_000, 2))
            assert read_unless_gone(file.read) in {None, noise(1_300_000, 1)}

    @given(actions=st.lists(st.one_of(seeks, reads), max_size=12))
    @several
    def test_an_open_object_behaves_as_a_file(
        self, store: MediaStore, actions: list[tuple[str, tuple[int, ...]]]
    ) -> None:
        data = noise(2 * BORDER_BYTES + 77)
        if not store.exists("key"):
            store.put("key", data)
        with store.open("key") as file, io.BytesIO(data) as oracle:
            assert (file.seekable(), file.readable()) == (True, True)
            for name, arguments in actions:
                assert act(file, name, arguments) == act(oracle, name, arguments)
            assert file.read() == oracle.read()

    def test_what_is_not_there_is_said(self, store: MediaStore) -> None:
        assert not store.exists("nothing/here")
        assert store.keys("nothing") == []
        for ask in (store.get, store.open, store.size):
            with pytest.raises(StorageError, match="nothing/here: there is no such object"):
                ask("nothing/here")

    def test_keys_lists_exactly_the_keys_below_a_prefix(self, store: MediaStore) -> None:
        for key in ("jobs/ab/z", "jobs/a-/z", "jobs/a/b/c", "jobs/a/b-c", "jobs/a0", "jobs/b"):
            store.put(key, b"x")
        assert store.keys("jobs/a") == ["jobs/a/b-c", "jobs/a/b/c"]
        assert store.keys("jobs/a0") == ["jobs/a0"]
        assert len(store.keys("jobs")) == 6
        assert store.keys("job") == []

    def test_delete_removes_exactly_the_keys_below_a_prefix(self, store: MediaStore) -> None:
        for key in ("jobs/1", "jobs/10/a", "jobs/2/a", "jobs/2/b/c", "jobs/2-3"):
            store.put(key, b"x")
        store.delete("jobs/1")
        store.delete("jobs/2")
        assert store.keys("jobs") == ["jobs/10/a", "jobs/2-3"]
        assert not store.exists("jobs/2/a")

    def test_a_deleted_object_can_be_written_again(self, store: MediaStore) -> None:
        store.put("jobs/1/a", b"before")
        store.delete("jobs")
        store.put("jobs/1/a", b"after")
        assert store.get("jobs/1/a") == b"after"

    def test_deleting_a_missing_key_does_nothing(self, store: MediaStore) -> None:
        store.delete("jobs/none")
        store.put("jobs/1", b"x")
        store.delete("jobs/none")
        assert store.exists("jobs/1")

    def test_stale_writes_are_removed_but_no_objects_and_active_writers(
        self, store: MediaStore
    ) -> None:
        store.put("done", b"x")
        with store.writer("key") as writer:
            writer.write(noise(1_200_000))
            assert store.remove_stale_writes(3600) == 0
        assert store.keys("key") + store.keys("done") == ["key", "done"]

    def test_ping_succeeds(self, store: MediaStore) -> None:
        for _ in range(2):
            store.ping()

    @pytest.mark.parametrize("key", WRONG_KEYS)
    def test_keys_that_leave_the_folder_are_refused(self, store: MediaStore, key: str) -> None:
        asks = (store.get, store.open, store.size, store.exists, store.keys, store.delete)
        for ask in asks:
            with pytest.raises(StorageError, match="not a valid key"):
                ask(key)
        with pytest.raises(StorageError, match="not a valid key"):
            store.put(key, b"x")
        with pytest.raises(StorageError, match="not a valid key"), store.writer(key):
            pass
