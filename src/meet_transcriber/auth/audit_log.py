"""The audit trail as an append-only file of JSON lines."""

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from meet_transcriber.core.auth import AuditEntry, AuditPage, AuditQuery
from meet_transcriber.core.errors import InvalidOptions, StorageError
from meet_transcriber.core.serialization import from_plain

_BLOCK_BYTES = 64 << 10
_SCANNED_BYTES = 8 << 20
"""Limit on the part of the file that is searched for one page."""


class FileTrail:
    """
    Appends to the file `path`, from any number of threads and processes of one machine.

    Lines are appended in one write, so they never mix. Only the owner may read the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, *entries: AuditEntry) -> None:
        lines = "".join(map(_line, entries))
        try:
            file = self._open()
            try:
                _write(file, lines.encode())
            finally:
                os.close(file)
        except OSError as error:
            raise self._failed(error) from error

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT  # to read, as `_write` looks at the last byte
        try:
            return os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, flags, 0o600)

    def read_page(self, query: AuditQuery) -> AuditPage:
        found: list[AuditEntry] = []
        last = 0
        for offset, line in self._backwards(_offset(query.after)):
            last, entry = offset, _entry(line)
            if entry is not None and query.admits(entry):
                found.append(entry)
            if len(found) == query.limit:
                break
        return AuditPage(found, str(last) if last else None)

    def _backwards(self, end: int | None) -> Iterator[tuple[int, bytes]]:
        """Lines before the offset `end`, the last first, each with its offset; a limited part."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                position = size if end is None else min(end, size)
                least, rest = max(0, position - _SCANNED_BYTES), b""
                while position > least:
                    start = max(0, position - _BLOCK_BYTES)
                    file.seek(start)
                    block = file.read(position - start) + rest
                    first = (block.find(b"\n") + 1 or len(block)) if start else 0
                    rest, whole = block[:first], block[first:]
                    yield from _lines(whole, start + first)
                    position = start
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"The audit log {self._path} cannot be used: {error.strerror or error}. AUDIT_LOG "
            "names another file."
        )


_FIELDS = [field.name for field in fields(AuditEntry)]
_to_json = json.JSONEncoder(separators=(",", ":")).encode


def _line(entry: AuditEntry) -> str:
    pairs = ((name, getattr(entry, name)) for name in _FIELDS)
    return _to_json({name: value for name, value in pairs if value not in ("", None)}) + "\n"


def _write(file: int, lines: bytes) -> None:
    """Append lines in one write; starts a new line after one that was cut short."""
    size = os.lseek(file, 0, os.SEEK_END)
    if size and os.pread(file, 1, size - 1) != b"\n":
        lines = b"\n" + lines
    if os.write(file, lines) != len(lines):
        raise OSError(errno.ENOSPC, "a line was written only in part")


def _lines(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Complete lines, the last first, each with its offset in the file."""
    end = start + len(data)
    for line in reversed(data.splitlines(keepends=True)):
        end -= len(line)
        yield end, line


def _offset(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 20):  # noqa: PLR2004
        raise InvalidOptions("`after` is not a cursor of this list.")
    return int(cursor)


def _entry(line: bytes) -> AuditEntry | None:
    """The entry of a line; None for a line that was cut short."""
    try:
        return from_plain(AuditEntry, json.loads(line))
    except (ValueError, StorageError):
        return None
