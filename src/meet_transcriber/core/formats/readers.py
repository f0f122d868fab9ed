"""Reads transcripts and turns from files, for scoring and exporting."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.formats.documents import SCHEMA_VERSION, UNKNOWN
from meet_transcriber.core.languages import split_at_spaces
from meet_transcriber.core.segmentation import build_segments
from meet_transcriber.core.serialization import from_plain, to_plain
from meet_transcriber.core.transcript import Transcript, Turn, Word

_RTTM_FIELDS = 8
_STM_FIELDS = 5
_STM_LABEL = re.compile(r"<(?:[oO]|[^\s<>]*,[^\s<>]*)>\s*")  # <o,f0,male> before the words
_TXT_LINE = re.compile(r"\[(\d+):([0-5]\d):([0-5]\d)\] (?:([^:]+): )?(.*)")
_TXT_WORD_SECONDS = 0.4


class Row(NamedTuple):
    """An utterance; the speaker is None when unknown."""

    speaker: str | None
    start: float
    end: float
    text: str


def read_transcript(path: Path) -> Transcript:
    """
    Read a transcript from JSON (ours), SegLST, STM, RTTM or TXT (ours).

    The format is determined by the extension, else by the content. RTTM has turns only; STM,
    SegLST and TXT have no word times, so those are estimated.

    Raises:
        StorageError: the file cannot be read or is invalid; the message names the line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"Cannot read {path}: {error}.") from error
    reader = _READERS.get(path.suffix.lower()) or _detect_reader(text)
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise StorageError(f"{path} has an unknown format; use one of {known}.")
    try:
        return reader(text)
    except StorageError as error:
        raise StorageError(f"{path}: {error}") from error


def read_json(text: str) -> Transcript:
    """
    Read our JSON or SegLST.

    Unknown keys are ignored; a newer `schema_version` is refused, since it means that known keys
    changed their meaning.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise StorageError(f"Line {error.lineno} is not valid JSON: {error.msg}.") from error
    if isinstance(data, list):
        return _transcript_of([_seglst_row(number, item) for number, item in enumerate(data)])
    if not isinstance(data, dict) or not isinstance(data.get("segments"), list):
        raise StorageError("The JSON is not a transcript: it has no list of segments.")
    version = data.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise StorageError(
            f"The transcript has schema_version {version!r}, this version supports up to "
            f"{SCHEMA_VERSION}; update it."
        )
    return from_plain(Transcript, {**data, "segments": [*map(_with_words, data["segments"])]})


def read_rttm(text: str) -> Transcript:
    """Read turns from RTTM (NIST RT-09); lines other than SPEAKER are ignored."""
    turns = []
    for number, line in _lines(text):
        fields = line.split()
        if fields[0] != "SPEAKER":
            continue
        if len(fields) < _RTTM_FIELDS:
            raise StorageError(
                f"Line {number} is not valid RTTM: it has {len(fields)} of 8 fields."
            )
        start, duration = (_seconds(field, number) for field in fields[3:5])
        turns.append(Turn(start, start + duration, fields[7]))
    turns.sort(key=lambda turn: turn.start)
    # In order of first speech.
    speakers = tuple(dict.fromkeys(turn.speaker for turn in turns))
    end = max((turn.end for turn in turns), default=0.0)
    return Transcript(turns=tuple(turns), speakers=speakers, duration=end)


def read_stm(text: str) -> Transcript:
    """Read segments from STM (NIST sctk); lines that start with `;;` are comments."""
    return _transcript_of(
        [_stm_row(number, line) for number, line in _lines(text) if not line.startswith(";;")]
    )


def read_txt(text: str) -> Transcript:
    """
    Read segments from lines like `[00:00:01] SPEAKER_00: Shall we start?`, the txt format.

    The end of a line is estimated from its number of words, and at most the start of the next.
    """
    rows: list[Row] = []
    for number, line in _lines(text):
        match = _TXT_LINE.fullmatch(line)
        if match is None:
            raise StorageError(f"Line {number} does not look like `[00:00:01] SPEAKER_00: text`.")
        hours, minutes, seconds = (int(part) for part in match.groups()[:3])
        start = hours * 3600.0 + minutes * 60 + seconds
        spoken_until = start + _TXT_WORD_SECONDS * len(match[5].split())
        rows.append(Row(match[4], start, spoken_until, match[5]))
    ends = [row.start for row in rows[1:]] + [math.inf]
    return _transcript_of(
        [
            row._replace(end=max(row.start, min(row.end, end)))
            for row, end in zip(rows, ends, strict=True)
        ]
    )


def _stm_row(number: int, line: str) -> Row:
    fields = line.split(None, _STM_FIELDS)
    if len(fields) < _STM_FIELDS:
        raise StorageError(f"Line {number} is not valid STM: it has {len(fields)} of 5 fields.")
    start, end = (_seconds(field, number) for field in fields[3:5])
    if end < start:
        raise StorageError(f"Line {number} ends at {end} s, before its start at {start} s.")
    text = fields[_STM_FIELDS] if len(fields) > _STM_FIELDS else ""
    label = _STM_LABEL.match(text)
    return Row(_known_speaker(fields[2]), start, end, text[label.end() :] if label else text)


def _seglst_row(number: int, item: object) -> Row:
    if not isinstance(item, Mapping):
        raise StorageError(f"Entry {number} of the SegLST is not an object.")
    missing = [key for key in ("speaker", "words") if not isinstance(item.get(key), str)]
    if missing:
        raise StorageError(f"Entry {number} of the SegLST has no text under {missing[0]!r}.")
    try:
        start, end = (float(item.get(key, 0.0)) for key in ("start_time", "end_time"))
    except (TypeError, ValueError) as error:
        raise StorageError(f"Entry {number} of the SegLST has no times: {error}.") from error
    if not 0 <= start <= end < math.inf:
        raise StorageError(f"Entry {number} of the SegLST runs from {start} to {end} s.")
    return Row(_known_speaker(item["speaker"]), start, end, item["words"])


def _known_speaker(speaker: str) -> str | None:
    return None if speaker == UNKNOWN else speaker


def _with_words(segment: object) -> object:
    """Add estimated words to a segment that was written without them."""
    if not isinstance(segment, Mapping) or "words" in segment or "text" not in segment:
        return segment
    start, end = segment.get("start"), segment.get("end")
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        raise StorageError("A segment without words needs a start and an end in seconds.")
    row = Row(segment.get("speaker"), float(start), float(end), str(segment["text"]))
    return {**segment, "words": [to_plain(word) for word in _words(row)]}


def _transcript_of(rows: Sequence[Row]) -> Transcript:
    rows = sorted(rows, key=lambda row: row.start)
    segments = [segment for row in rows for segment in build_segments(_words(row))]
    known = [row for row in rows if row.speaker is not None]
    return Transcript(
        segments=tuple(sorted(segments, key=lambda segment: segment.start)),
        speakers=tuple(dict.fromkeys(row.speaker for row in known if row.speaker)),
        turns=tuple(Turn(row.start, row.end, row.speaker) for row in known if row.speaker),
        duration=max((row.end for row in rows), default=0.0),
    )


def _words(row: Row) -> list[Word]:
    texts = split_at_spaces(row.text)
    step = (row.end - row.start) / max(len(texts), 1)
    return [
        Word(text, row.start + step * at, row.start + step * (at + 1), None, row.speaker, True)
        for at, text in enumerate(texts)
    ]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Not `splitlines`, which also splits at characters that may stand in a text, such as U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def _seconds(field: str, line: int) -> float:
    try:
        seconds = float(field)
    except ValueError as error:
        raise StorageError(f"Line {line}: {field!r} is not a number of seconds.") from error
    if not 0 <= seconds < math.inf:
        raise StorageError(f"Line {line}: {field!r} is not a time in a recording.")
    return seconds


def _detect_reader(text: str) -> Callable[[str], Transcript] | None:
    first = next((line for _, line in _lines(text) if not line.startswith(";")), "")
    # A line of txt begins with a bracket, too.
    if first.startswith(("{", "[{")) or first == "[":
        return read_json
    if first.startswith("SPEAKER "):
        return read_rttm
    if _TXT_LINE.fullmatch(first):
        return read_txt
    return None


_READERS: dict[str, Callable[[str], Transcript]] = {
    ".json": read_json,
    ".rttm": read_rttm,
    ".stm": read_stm,
    ".txt": read_txt,
}
