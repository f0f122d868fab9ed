"""The audit trail as a file."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from meet_transcriber.auth.audit_log import FileTrail
from meet_transcriber.core.auth import AuditEntry, AuditQuery
from meet_transcriber.core.errors import StorageError

ENTRY = AuditEntry(1.0, "delete", key="aa", job="j", status=204)


def test_a_line_is_json_without_empty_fields(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    FileTrail(path).append(ENTRY)
    text = path.read_text()
    assert json.loads(text) == {
        "at": 1.0, "action": "delete", "key": "aa", "job": "j", "status": 204
    }  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_existing_lines_are_never_changed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("an older line\n")
    FileTrail(path).append(ENTRY)
    assert path.read_text().startswith("an older line\n{")
    assert list(FileTrail(path).read_page(AuditQuery()).entries) == [ENTRY]


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    trail = FileTrail(tmp_path / "audit.jsonl")
    with ThreadPoolExecutor(8) as pool:
        for number in range(400):
            pool.submit(trail.append, replace(ENTRY, job=f"{number}" * 40))
    assert len(trail.read_page(AuditQuery(limit=500)).entries) == 400


def test_a_truncated_line_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    trail = FileTrail(path)
    trail.append(ENTRY)
    with path.open("ab") as file:
        file.write(b'{"at": 2.0, "act')
    assert list(trail.read_page(AuditQuery()).entries) == [ENTRY]


def test_an_entry_after_a_truncated_line_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"at": 2.0, "act')
    FileTrail(path).append(ENTRY)
    assert list(FileTrail(path).read_page(AuditQuery()).entries) == [ENTRY]


def test_a_long_file_is_read_a_bounded_piece_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    trail = FileTrail(path)
    trail.append(replace(ENTRY, key="rare"))
    line = json.dumps({"at": 2.0, "action": "read", "key": "x" * 400}).encode() + b"\n"
    with path.open("ab") as file:
        file.write(line * ((20 << 20) // len(line)))
    found, query, pages = list[AuditEntry](), AuditQuery(key="rare"), 0
    while query.after is not None or not pages:
        page = trail.read_page(query)
        found += page.entries
        pages += 1
        query = replace(query, after=page.after)
        if page.after is None:
            break
    assert (len(found), pages) == (1, 3)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="AUDIT_LOG names another"):
        FileTrail(tmp_path).append(ENTRY)
