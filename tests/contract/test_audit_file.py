"""The contract of audit trails over a file."""

from pathlib import Path

import pytest

from meet_transcriber.auth.audit_log import FileTrail
from tests.contract.audit_trail import AuditTrailContract


class TestFileTrail(AuditTrailContract):
    @pytest.fixture
    def trail(self, tmp_path: Path) -> FileTrail:
        return FileTrail(tmp_path / "new" / "audit.jsonl")
