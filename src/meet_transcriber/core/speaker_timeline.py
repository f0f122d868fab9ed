"""Speaker timelines: who spoke when, as recorded by a conference system or a person."""

import csv
import html
import io
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple, TypeVar

from meet_transcriber.core.edits import LONGEST_NAME
from meet_transcriber.core.errors import InvalidOptions

T = TypeVar("T")

SPEAKER_TIMELINE = "speaker_timeline.json"
"""Logical name of the object of a job that stores its timeline."""

MAX_BYTES = 1 << 20
MAX_ENTRIES = 20_000
MAX_PEOPLE = 200
MAX_SECONDS = 2 * 86_400.0
"""Two days: a time of day, or the day after."""

_JOINERS = "\u200c\u200d"  # required by names in Persian and Indian scripts
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Entry:
    """One person speaks; seconds on the clock of the timeline."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Entries by start time; they may overlap."""

    entries: tuple[Entry, ...] = field(default=(), repr=False)


class Row(NamedTuple):
    """An entry as read, with its position for error messages."""

    place: str
    name: str
    start: float
    end: float


def timeline_error(reason: str) -> InvalidOptions:
    """Return the error for an invalid timeline."""
    return InvalidOptions(f"speaker_timeline cannot be used: {reason}")


def build_timeline(rows: Iterable[Row]) -> Timeline:
    """Build a timeline from rows in any order, without empty ones; raises InvalidOptions."""
    entries = [entry for entry in map(_validate, _limited(rows)) if entry.end > entry.start]
    if not entries:
        raise timeline_error("it has no entry with a name, a start and a later end.")
    people = {entry.name for entry in entries}
    if len(people) > MAX_PEOPLE:
        raise timeline_error(f"it names {len(people)} people; the limit is {MAX_PEOPLE}.")
    return Timeline(tuple(sorted(entries, key=lambda entry: (entry.start, entry.end))))


def _validate(row: Row) -> Entry:
    name = clean_name(row.name)
    if not name:
        raise timeline_error(f"{row.place} has an empty name.")
    if len(name) > LONGEST_NAME:
        raise timeline_error(
            f"the name in {row.place} has {len(name)} characters; the limit is {LONGEST_NAME}."
        )
    if not (math.isfinite(row.start) and math.isfinite(row.end)):
        raise timeline_error(f"{row.place} has a time that is not a finite number.")
    if not 0 <= row.start <= row.end <= MAX_SECONDS:
        raise timeline_error(
            f"{row.place} runs from {row.start:.1f} to {row.end:.1f} s; it must not start before "
            "0, end before it starts, or end after 48 hours."
        )
    return Entry(name, row.start, row.end)


def clean_name(text: str) -> str:
    """Normalize a name: one line, no invisible characters, no change of text direction."""
    shown = (char if _is_shown(char) else " " if char.isspace() else "" for char in text)
    return " ".join("".join(shown).split())


def _is_shown(char: str) -> bool:
    return char in _JOINERS or not unicodedata.category(char).startswith(("C", "Z"))


def decode_text(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark; raises InvalidOptions."""
    if len(data) > 2 * MAX_BYTES:
        raise too_large_error()
    try:
        if data.startswith(_BYTE_ORDER_MARKS):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise timeline_error("it is not valid UTF-8; save it as UTF-8.") from error


def too_large_error() -> InvalidOptions:
    """Return the error for more than MAX_BYTES."""
    return timeline_error(
        f"it is larger than {MAX_BYTES >> 10} KiB; send only who speaks when, without other text."
    )


def _limited(rows: Iterable[T]) -> Iterator[T]:
    """Yield rows; raise InvalidOptions before reading more than MAX_ENTRIES."""
    for count, row in enumerate(rows):
        if count == MAX_ENTRIES:
            raise timeline_error(f"it has more than {MAX_ENTRIES} entries.")
        yield row


_SECONDS = re.compile(r"\d{1,9}(?:[.,]\d{1,9})?", re.ASCII)
_CLOCK = re.compile(
    r"(?P<date>\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4},?[ T]\s?)?"
    r"(?P<a>\d{1,3}):(?P<b>[0-5]\d)(?::(?P<c>[0-5]\d)(?:[.,](?P<d>\d{1,9}))?|\.(?P<e>\d{1,9}))?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?"
    r"(?:\s?(?:Z|UTC|[+-]\d\d:?\d\d))?",
    re.ASCII,
)
_DAY, _HALF_DAY = 86_400.0, 43_200.0


class Moment(NamedTuple):
    """Seconds on the clock of the timeline; `of_day` if written as a time of day."""

    seconds: float
    of_day: bool = False


def parse_time(text: str) -> Moment | None:
    """
    Parse `83.5`, `1:23.5`, `00:01:23,500`, `10:01:23 AM` or `2026-11-24T10:01:23Z`; else None.

    Dates are ignored, since the order of day and month varies; a time that decreases indicates
    midnight (see `add_days`).
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return Moment(float(text.replace(",", ".")))
    found = _CLOCK.fullmatch(text.replace("\u202f", " "))  # Chromium writes it before AM
    if found is None:
        return None
    of_day = bool(found["date"] or found["half"])
    first, second = int(found["a"]), int(found["b"])
    rest = float(f"{found['c'] or 0}.{found['d'] or found['e'] or 0}")
    if found["c"] is None and not of_day:  # minutes and seconds
        return Moment(first * 60 + second + rest)
    if found["half"]:
        first = first % 12 + (12 if found["half"] in "Pp" else 0)
    return Moment(first * 3600.0 + second * 60 + rest, of_day)


def add_days(seconds: Iterable[float]) -> Iterator[float]:
    """Yield times of day in their order, with a day added after each midnight."""
    days, before = 0.0, 0.0
    for each in seconds:
        if each + days < before - _HALF_DAY:
            days += _DAY
        before = each + days
        yield before


LAST_SECONDS = 5.0
"""Duration of the last entry if entries have starts only."""

_EXPECTED = (
    'JSON such as [{"name": "Ann Lee", "start": 0.0, "end": 4.2}], RTTM, WebVTT with '
    "`<v Ann Lee>text</v>` or `Ann Lee: text`, or CSV with the columns name, start and end"
)
_NAMES = (
    *("name", "speaker", "speakername", "fullname", "displayname"),
    *("participant", "participantname", "user", "username"),
)
_STARTS = ("start", "starttime", "begin", "begintime", "from", "timestamp", "time", "ts")
_ENDS = ("end", "endtime", "stop", "stoptime", "to", "until")
_DURATIONS = ("duration", "length")
_COLUMNS = frozenset((*_NAMES, *_STARTS, *_ENDS, *_DURATIONS))
_HEADER_ROWS = 20  # titles may precede the names of the columns
_RTTM_FIELDS = 8
_TIMING = re.compile(r"\s*([\d:.,]+)\s+-->\s+([\d:.,]+)(?:\s.*)?")
# Adjacent quantifiers never match the same characters, or are possessive: timelines are untrusted.
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?[ \t]([^<>]*)>")
_COLON = re.compile(r"\s*+(?:-\s++)?([^:<>]{1,100}+):\s")
_LONGEST_ESCAPED = 4_000  # characters; int() refuses a character reference with more digits


def parse_timeline(text: str) -> Timeline:
    """
    Parse JSON, RTTM, WebVTT with names, or CSV; times of day count from the earliest one.

    Raises InvalidOptions, which names the line.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise too_large_error()
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return _reader_of(text)(text)


def read_timeline(given: str | Sequence[object]) -> Timeline:
    """Read a timeline from the text of a file or from entries; raises InvalidOptions."""
    return parse_timeline(given) if isinstance(given, str) else read_entries(given)


def read_entries(entries: Sequence[object]) -> Timeline:
    """Read objects with `name`, `start`, and `end` or `duration`; raises InvalidOptions."""
    return _timed([_fields(f"entry {at}", each) for at, each in enumerate(_limited(entries), 1)])


def _reader_of(text: str) -> Callable[[str], Timeline]:
    lines = (line.strip() for line in text.split("\n"))
    first = next((line for line in lines if line and not line.startswith(";")), "")
    if first.startswith(("[", "{")):
        return _parse_json
    if first.startswith("WEBVTT") or "-->" in text:
        return _parse_cues
    if first.startswith(("SPEAKER ", "SPEAKER\t", "SPKR-INFO")):
        return _parse_rttm
    return _parse_csv


# -- JSON ------------------------------------------------------------------------------------


def _parse_json(text: str) -> Timeline:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise timeline_error(f"line {error.lineno} is not valid JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise timeline_error("its JSON has a huge number or is nested too deeply.") from error
    if isinstance(data, dict):
        if isinstance(data.get("timeline"), list):
            return _parse_events(data["timeline"])
        data = data.get("speaker_timeline", data.get("entries"))
    if not isinstance(data, list):
        raise timeline_error(f"its JSON is not a list of entries; expected {_EXPECTED}.")
    return read_entries(data)


def _fields(place: str, entry: object) -> "_Fields":
    if not isinstance(entry, Mapping):
        raise timeline_error(f"{place} is not an object with name, start and end.")
    known = {_plain(str(key)): value for key, value in entry.items()}
    name = _first(known, _NAMES)
    if not isinstance(name, str):
        raise timeline_error(f"{place} has no name.")
    start = _moment(place, "start", _first(known, _STARTS))
    end, duration = _first(known, _ENDS), _first(known, _DURATIONS)
    if end is not None:
        return _Fields(place, name, start.of_day, start.seconds, _moment(place, "end", end).seconds)
    if duration is not None:
        end = start.seconds + _moment(place, "duration", duration).seconds
    return _Fields(place, name, start.of_day, start.seconds, end)


def _first(known: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((known[name] for name in names if known.get(name) not in (None, "")), None)


def _parse_events(events: Sequence[object]) -> Timeline:
    """Parse Zoom's timeline file: who is active between consecutive times."""
    found = []
    for at, event in enumerate(events, 1):
        users = event.get("users") if isinstance(event, Mapping) else None
        if not isinstance(event, Mapping) or not isinstance(users, list):
            raise timeline_error(f"event {at} lacks ts or users, the fields of Zoom's timeline.")
        start = _moment(f"event {at}", "ts", event.get("ts")).seconds
        named = [user for user in users if isinstance(user, Mapping)]
        found.append((start, [str(user.get("username") or "") for user in named], at))
    ends = [start for start, _, _ in found[1:]] + [found[-1][0] + LAST_SECONDS] if found else []
    return build_timeline(
        [
            Row(f"event {at}", name, start, max(start, end))
            for (start, names, at), end in zip(found, ends, strict=True)
            for name in names
            if name.strip()
        ]
    )


# -- WebVTT ----------------------------------------------------------------------------------


def _parse_cues(text: str) -> Timeline:
    """Parse WebVTT or SubRip; names come from voice tags, else from text before a colon."""
    cues = list(_limited(_cues(text)))
    rows = [
        Row(f"line {number}", _unescaped(name), start, end)
        for number, start, end, payload in cues
        for name in dict.fromkeys(_VOICE.findall(payload))
        if name.strip()
    ]
    if not rows:
        rows = [
            Row(f"line {number}", _unescaped(found[1]), start, end)
            for number, start, end, payload in cues
            if (found := _COLON.match(payload + " ")) and not found[1].strip().isdecimal()
        ]
    if not rows:
        raise timeline_error(
            "no cue of its WebVTT names a speaker; expected `<v Ann Lee>text</v>`, or "
            "`Ann Lee: text` at the beginning of a cue."
        )
    return build_timeline(rows)


def _unescaped(name: str) -> str:
    """Decode character references; longer names are refused for their length later."""
    return html.unescape(name) if len(name) <= _LONGEST_ESCAPED else name


def _cues(text: str) -> Iterator[tuple[int, float, float, str]]:
    """Yield line number, start, end and text of each cue."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if "-->" not in line:
            continue
        number, (start, end) = at, _cue_times(at, line)
        while at < len(lines) and lines[at].strip() and "-->" not in lines[at]:
            at += 1
        yield number, start, end, "\n".join(lines[number:at])


def _cue_times(number: int, line: str) -> tuple[float, float]:
    found = _TIMING.fullmatch(line)
    start, end = (parse_time(found[1]), parse_time(found[2])) if found else (None, None)
    if start is None or end is None:
        raise timeline_error(
            f"line {number} lacks a cue's start and end time; expected "
            "`00:00:01.000 --> 00:00:04.200` or similar."
        )
    return start.seconds, end.seconds


# -- RTTM ------------------------------------------------------------------------------------


def _parse_rttm(text: str) -> Timeline:
    """Parse SPEAKER lines of RTTM (NIST RT-09) of one recording; other lines are ignored."""
    lines = [(number, line.split()) for number, line in enumerate(text.split("\n"), 1)]
    rows = [_rttm_row(*each) for each in lines if each[1][:1] == ["SPEAKER"]]
    recordings = {recording for recording, _ in rows}
    if len(recordings) > 1:
        raise timeline_error(
            f"its RTTM covers {len(recordings)} recordings; send the lines of one recording."
        )
    return build_timeline(row for _, row in rows)


def _rttm_row(number: int, fields: list[str]) -> tuple[str, Row]:
    """Return the recording of a line and its row."""
    place = f"line {number}"
    if len(fields) < _RTTM_FIELDS:
        raise timeline_error(f"{place} is not valid RTTM: it has {len(fields)} fields, not 8.")
    start = _moment(place, "start", fields[3]).seconds
    end = start + _moment(place, "duration", fields[4]).seconds
    return fields[1], Row(place, fields[7], start, end)


# -- CSV -------------------------------------------------------------------------------------


def _parse_csv(text: str) -> Timeline:
    rows = _csv_rows(text)
    for _, header in islice(rows, _HEADER_ROWS):
        names = [_plain(cell) for cell in header]
        if set(names) & set(_NAMES) and set(names) & set(_STARTS):
            return _timed([_csv_fields(names, *row) for row in _limited(rows)])
    raise timeline_error(
        f"its format is unknown; expected {_EXPECTED}. A list of attendees does not say who spoke."
    )


def _csv_fields(names: Sequence[str], number: int, cells: Sequence[str]) -> "_Fields":
    """Read a row; column names are normalized once, not per row."""
    known = {name: cell for name, cell in zip(names, cells, strict=False) if name in _COLUMNS}
    return _fields(f"line {number}", known)


def _csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    head = "".join(text.split("\n")[:_HEADER_ROWS])
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise timeline_error(f"line {reader.line_num + 1} is not valid CSV: {error}.") from error


def _plain(header: str) -> str:
    """Normalize a column name: `Start Time (s)` and `start_time` are equal."""
    return re.sub(r"\([^()]*\)|[\W_]", "", header.casefold())


# -- times -----------------------------------------------------------------------------------


class _Fields(NamedTuple):
    """An entry with times that are not yet on a common clock; `end` is None where not given."""

    place: str
    name: str
    of_day: bool
    start: float
    end: float | None


def _moment(place: str, name: str, value: object) -> Moment:
    found: Moment | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            found = Moment(float(value))
    elif isinstance(value, str):
        found = parse_time(value)
    if found is None:
        raise timeline_error(
            f"{place} has {_shown(value)} as {name}; expected seconds or a time such as "
            "00:01:23.500."
        )
    return found


def _shown(value: object) -> str:
    """Format a value for an error; repr() fails for huge numbers and deep nesting."""
    if isinstance(value, str):
        return repr(value[:40])
    if value is None or isinstance(value, bool | float):
        return "nothing" if value is None else repr(value)
    return "a number out of range" if isinstance(value, int) else f"a {type(value).__name__}"


def _timed(found: Sequence[_Fields]) -> Timeline:
    """Put entries on one clock; an entry without end lasts until the next start."""
    if len({each.of_day for each in found}) > 1:
        raise timeline_error("it mixes times of day with other times; use one kind.")
    starts = list(add_days(each.start for each in found))
    zero = min(starts) if found and found[0].of_day else 0.0
    follows = _next_starts(starts)
    rows = []
    for each, start in zip(found, starts, strict=True):
        end = follows[start]
        if each.end is not None:
            _, end = add_days((start, each.end + start - each.start))
        rows.append(Row(each.place, each.name, start - zero, end - zero))
    return build_timeline(rows)


def _next_starts(starts: Sequence[float]) -> dict[float, float]:
    order = sorted(set(starts))
    last = [order[-1] + LAST_SECONDS] if order else []
    return dict(pairwise(chain(order, last)))
