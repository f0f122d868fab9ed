"""What a timeline consists of, and the bounds that every one keeps, wherever it came from."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from meet_transcriber.core.edits import LONGEST_NAME
from meet_transcriber.core.errors import InvalidOptions

SPEAKER_TIMELINE = "speaker_timeline.json"
"""Logical name of the object that a job keeps its timeline in."""

MOST_BYTES = 1 << 20
MOST_ENTRIES = 20_000
MOST_PEOPLE = 200
MOST_SECONDS = 2 * 86_400.0
"""A time of day, or a day later; what lies further away is a mistake."""

_JOINERS = "\u200c\u200d"  # names in Persian and Indian scripts need them
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Entry:
    """One person speaks; seconds on the timeline's own clock."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Entries by start time; they overlap where people do."""

    entries: tuple[Entry, ...] = field(default=(), repr=False)


class Row(NamedTuple):
    """An entry as it was read, with the place that an error names."""

    place: str
    name: str
    start: float
    end: float


def refused(reason: str) -> InvalidOptions:
    """The error that every reader raises."""
    return InvalidOptions(f"speaker_timeline cannot be used: {reason}")


def timeline_of(rows: Sequence[Row]) -> Timeline:
    """
    A timeline of rows in any order; entries without length are left out.

    Raises:
        InvalidOptions: a name or a time makes no sense, or there are none or too many.
    """
    if len(rows) > MOST_ENTRIES:
        raise refused(f"it has {len(rows)} entries, and at most {MOST_ENTRIES} are taken.")
    entries = [entry for entry in map(_checked, rows) if entry.end > entry.start]
    if not entries:
        raise refused("it has no entry that says who speaks from when to when.")
    people = {entry.name for entry in entries}
    if len(people) > MOST_PEOPLE:
        raise refused(f"it names {len(people)} people, and at most {MOST_PEOPLE} are taken.")
    return Timeline(tuple(sorted(entries, key=lambda entry: (entry.start, entry.end))))


def _checked(row: Row) -> Entry:
    name = clean_name(row.name)
    if not name:
        raise refused(f"{row.place} names nobody.")
    if len(name) > LONGEST_NAME:
        raise refused(
            f"the name in {row.place} has {len(name)} characters, and at most {LONGEST_NAME} "
            "are taken."
        )
    if not (math.isfinite(row.start) and math.isfinite(row.end)):
        raise refused(f"{row.place} has a time that is no number.")
    if not 0 <= row.start <= row.end <= MOST_SECONDS:
        raise refused(
            f"{row.place} runs from {row.start:.1f} to {row.end:.1f} s; it must not start before "
            "0, end before it starts, or lie more than two days away."
        )
    return Entry(name, row.start, row.end)


def clean_name(text: str) -> str:
    """A name as anybody may show it: on one line, nothing invisible, no change of direction."""
    shown = (char if _is_shown(char) else " " if char.isspace() else "" for char in text)
    return " ".join("".join(shown).split())


def _is_shown(char: str) -> bool:
    return char in _JOINERS or not unicodedata.category(char).startswith(("C", "Z"))


def decoded(data: bytes) -> str:
    """
    The text of a file: UTF-8, or UTF-16 with a byte order mark, as conference systems write it.

    Raises:
        InvalidOptions: it is neither, or too large.
    """
    if len(data) > 2 * MOST_BYTES:
        raise too_large()
    try:
        if data.startswith(_BYTE_ORDER_MARKS):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused("it is no text in UTF-8; save it as UTF-8 and send it again.") from error


def too_large() -> InvalidOptions:
    """The error for more bytes than anybody's timeline has."""
    return refused(
        f"it has more than {MOST_BYTES >> 10} KiB; send only who speaks when, without other text."
    )
