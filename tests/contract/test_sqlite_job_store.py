"""The contract of job stores over SQLite."""

from pathlib import Path

import pytest

from tests.contract.job_store_contract import JobStoreContract
from tests.contract.key_store_contract import KeyStoreContract


class TestSqliteJobStore(JobStoreContract, KeyStoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return f"sqlite:{tmp_path / 'new' / 'jobs.db'}"
