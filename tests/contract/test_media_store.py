"""The contract of MediaStore on the stores that need only pip packages."""

from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from meet_transcriber.ports.stores import MediaStore
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.object_storage import ObjectMediaStore
from tests.contract.media_store import MediaStoreContract
from tests.contract.media_store_elsewhere import ElsewhereContract


class TestDisk(MediaStoreContract, ElsewhereContract):
    """A folder."""

    peak_mib = 8

    @pytest.fixture
    def store(self, tmp_path: Path) -> MediaStore:
        return DiskMediaStore(tmp_path / "data")

    @pytest.fixture
    def making(self, tmp_path: Path) -> str:
        return (
            "from pathlib import Path\n"
            "from meet_transcriber.stores.disk import DiskMediaStore\n"
            f"store = DiskMediaStore(Path({str(tmp_path / 'data')!r}))\n"
        )


class TestObjectsInMemory(MediaStoreContract):
    """obstore, without a network."""

    @pytest.fixture
    def store(self) -> MediaStore:
        return ObjectMediaStore(MemoryStore())


class TestObjectsInFiles(MediaStoreContract):
    """obstore, which also knows folders."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> MediaStore:
        return ObjectMediaStore(LocalStore(tmp_path))
