"""Reading transcripts and turns back, for scoring and for exporting again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.segmentation import build_segments
from meet_transcriber.core.transcript import Segment, Transcript, Turn, Word
from meet_transcriber.core.wire import from_plain

_RTTM_FIELDS = 8
_STM_FIELDS = 5


def read_transcript(path: Path) -> Transcript:
    """
    Read a transcript from JSON (ours), SegLST, STM or RTTM, told by the file's ending.

    RTTM holds turns only; STM and SegLST have no word times, so those are estimated.

    Raises:
        StorageError: the file cannot be read or does not fit; names the line.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"Cannot read {path}: {error}.") from error
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise StorageError(f"{path} has an unknown ending; use one of {known}.")
    return reader(text)


def read_json(text: str) -> Transcript:
    """A transcript from our own JSON, or from SegLST."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise StorageError(f"Line {error.lineno} is no JSON: {error.msg}.") from error
    if isinstance(data, list):
        return _spoken(_seglst_rows(data))
    if not isinstance(data, dict) or "segments" not in data:
        raise StorageError("The JSON is no transcript: it has no segments.")
    return from_plain(Transcript, data)


def read_rttm(text: str) -> Transcript:
    """Turns from RTTM; other lines than SPEAKER are passed over."""
    turns = []
    for number, line in _lines(text):
        fields = line.split()
        if fields[0] != "SPEAKER":
            continue
        if len(fields) < _RTTM_FIELDS:
            raise StorageError(f"Line {number} is no RTTM: {len(fields)} fields, 8 needed.")
        start, duration = (_number(field, number) for field in fields[3:5])
        turns.append(Turn(start, start + duration, fields[7]))
    turns.sort(key=lambda turn: turn.start)
    speakers = tuple(dict.fromkeys(turn.speaker for turn in turns))
    end = max((turn.end for turn in turns), default=0.0)
    return Transcript(turns=tuple(turns), speakers=speakers, duration=end)


def read_stm(text: str) -> Transcript:
    """Segments from STM; lines beginning with `;;` are comments."""
    rows = []
    for number, line in _lines(text):
        if line.startswith(";;"):
            continue
        fields = line.split(None, _STM_FIELDS)
        if len(fields) < _STM_FIELDS:
            raise StorageError(f"Line {number} is no STM: {len(fields)} fields, 5 needed.")
        words = fields[_STM_FIELDS] if len(fields) > _STM_FIELDS else ""
        if words.startswith("<"):  # the optional label in front
            words = words.partition(">")[2]
        rows.append((fields[2], _number(fields[3], number), _number(fields[4], number), words))
    return _spoken(rows)


Row = tuple[str, float, float, str]


def _seglst_rows(data: list[object]) -> list[Row]:
    rows = []
    for number, item in enumerate(data):
        try:
            assert isinstance(item, dict)  # noqa: S101 - caught below
            rows.append(
                (
                    str(item["speaker"]),
                    float(item.get("start_time", 0.0)),
                    float(item.get("end_time", 0.0)),
                    str(item["words"]),
                )
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise StorageError(f"Entry {number} of the SegLST does not fit: {error!r}.") from error
    return rows


def _spoken(rows: list[Row]) -> Transcript:
    segments = tuple(
        segment for row in sorted(rows, key=lambda row: row[1]) for segment in _row(row)
    )
    speakers = tuple(dict.fromkeys(row[0] for row in sorted(rows, key=lambda row: row[1])))
    turns = tuple(Turn(start, end, speaker) for speaker, start, end, _ in rows)
    end = max((row[2] for row in rows), default=0.0)
    return Transcript(segments=segments, speakers=speakers, turns=turns, duration=end)


def _row(row: Row) -> Iterator[Segment]:
    speaker, start, end, text = row
    texts = text.split()
    step = (end - start) / max(len(texts), 1)
    words = [
        Word(word, start + step * at, start + step * (at + 1), None, speaker, estimated=True)
        for at, word in enumerate(texts)
    ]
    yield from build_segments(words)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _number(field: str, line: int) -> float:
    try:
        return float(field)
    except ValueError as error:
        raise StorageError(f"Line {line}: {field!r} is no number of seconds.") from error


_READERS: dict[str, Callable[[str], Transcript]] = {
    ".json": read_json,
    ".rttm": read_rttm,
    ".stm": read_stm,
}
