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
        InvalidOptions: a name or a time is not valid, or there are no entries or too many.
    """
    if len(rows) > MOST_ENTRIES:
        raise too_many()
    entries = [entry for entry in map(_checked, rows) if entry.end > entry.start]
    if not entries:
        raise refused("it has no entry with a name, a start and a later end.")
    people = {entry.name for entry in entries}
    if len(people) > MOST_PEOPLE:
        raise refused(f"it names {len(people)} people; the limit is {MOST_PEOPLE}.")
    return Timeline(tuple(sorted(entries, key=lambda entry: (entry.start, entry.end))))


def _checked(row: Row) -> Entry:
    name = clean_name(row.name)
    if not name:
        raise refused(f"{row.place} has an empty name.")
    if len(name) > LONGEST_NAME:
        raise refused(
            f"the name in {row.place} has {len(name)} characters; the limit is {LONGEST_NAME}."
        )
    if not (math.isfinite(row.start) and math.isfinite(row.end)):
        raise refused(f"{row.place} has a time that is not a finite number.")
    if not 0 <= row.start <= row.end <= MOST_SECONDS:
        raise refused(
            f"{row.place} runs from {row.start:.1f} to {row.end:.1f} s; it must not start before "
            "0, end before it starts, or end after 48 hours."
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
        raise refused("it is not valid UTF-8; save it as UTF-8 and send it again.") from error


def too_large() -> InvalidOptions:
    """The error for more than MOST_BYTES."""
    return refused(
        f"it is larger than {MOST_BYTES >> 10} KiB; send only who speaks when, without other text."
    )


def too_many() -> InvalidOptions:
    """The error for more than MOST_ENTRIES."""
    return refused(f"it has more than {MOST_ENTRIES} entries.")
