"""Resumable uploads on the stores that need only pip packages."""

from pathlib import Path

import pytest
from obstore.store import MemoryStore

from meet_transcriber.ports.stores import MediaStore
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.object_storage import ObjectMediaStore
from tests.contract.uploads import UploadsContract


class TestOnDisk(UploadsContract):
    """A folder."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> MediaStore:
        return DiskMediaStore(tmp_path / "media")


class TestInABucket(UploadsContract):
    """obstore, without a network."""

    @pytest.fixture
    def store(self) -> MediaStore:
        return ObjectMediaStore(MemoryStore())
