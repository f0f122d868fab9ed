"""WER, cpWER and DER, as counts that add up with `+`."""

import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import chain, pairwise
from math import isfinite
from operator import add

from meet_transcriber.core.languages import is_spaceless
from meet_transcriber.core.transcript import Transcript, Turn


def assign(costs: Sequence[Sequence[float]]) -> list[int]:
    """
    Return the column matched with each row so that the sum of costs is minimal.

    Shortest augmenting paths with potentials (Jonker and Volgenant 1987), O(rows^2 columns).

    Args:
        costs: rows of equal length, at least as many columns as rows.

    Raises:
        ValueError: a cost is not a finite number.
    """
    if not all(map(isfinite, chain.from_iterable(costs))):
        raise ValueError("Costs must be finite numbers.")
    rows, columns = len(costs), len(costs[0]) if costs else 0
    row_potential = [0.0] * (rows + 1)
    column_potential = [0.0] * (columns + 1)
    matched = [0] * (columns + 1)  # row of each column, counted from 1; 0 if unmatched
    for row in range(1, rows + 1):
        matched[0] = row
        _augment(costs, row_potential, column_potential, matched)
    result = [0] * rows
    for column in range(1, columns + 1):
        if matched[column]:
            result[matched[column] - 1] = column - 1
    return result


def _augment(
    costs: Sequence[Sequence[float]],
    row_potential: list[float],
    column_potential: list[float],
    matched: list[int],
) -> None:
    """Match the row at column 0 along the cheapest path to a free column."""
    columns = len(matched) - 1
    slack = [float("inf")] * (columns + 1)
    came_from = [0] * (columns + 1)
    visited = [False] * (columns + 1)
    at = 0
    while matched[at]:
        visited[at] = True
        row, best, nearest = matched[at], float("inf"), 0
        for column in range(1, columns + 1):
            if visited[column]:
                continue
            cost = costs[row - 1][column - 1] - row_potential[row] - column_potential[column]
            if cost < slack[column]:
                slack[column], came_from[column] = cost, at
            if slack[column] < best:
                best, nearest = slack[column], column
        for column in range(columns + 1):
            if visited[column]:
                row_potential[matched[column]] += best
                column_potential[column] -= best
            else:
                slack[column] -= best
        at = nearest
    while at:
        matched[at] = matched[came_from[at]]
        at = came_from[at]


_STORED_BITS = 16_000_000  # kept for backtracking: 2 MB for each kind of step


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts of words; hits + substitutions + deletions is the length of the reference."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def total(self) -> int:
        """Number of words of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """errors / total; may exceed 1; 0 or 1 if the reference is empty."""
        return self.errors / self.total if self.total else float(self.errors > 0)

    def __add__(self, other: "WordErrors") -> "WordErrors":
        return WordErrors(*map(add, astuple(self), astuple(other)))


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the minimum number of substitutions, deletions and insertions."""
    plus, minus = _last_row(reference, hypothesis)
    return len(reference) + plus.bit_count() - minus.bit_count()


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> WordErrors:
    """
    Compare two lists of words by their edit distance.

    `errors` and `total` are exact. If several alignments are equally short, the split into
    substitutions, deletions and insertions may differ from other tools. Long texts are halved
    where a best alignment passes (Hirschberg 1975) to save memory; differences between
    neighbouring distances are bits of one number per row (Myers 1999, Hyyro 2003).
    """
    if len(reference) <= 1 or len(reference) * len(hypothesis) <= _STORED_BITS:
        return _backtrack(reference, hypothesis)
    middle = len(reference) // 2
    cut = _crossing(reference[:middle], reference[middle:], hypothesis)
    head = word_errors(reference[:middle], hypothesis[:cut])
    tail = word_errors(reference[middle:], hypothesis[cut:])
    return head + tail


def _crossing(head: Sequence[str], tail: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return how many words of the hypothesis a best alignment assigns to `head`."""
    forward = _distances(head, hypothesis)
    backward = _distances(tail[::-1], hypothesis[::-1])[::-1]
    return min(range(len(forward)), key=lambda at: forward[at] + backward[at])


def _distances(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int]:
    """Return the distance of the whole reference to every prefix of the hypothesis."""
    plus, minus = _last_row(reference, hypothesis)
    row = [len(reference)]
    if hypothesis:
        # the bits as text, lowest first: shifting a number of thousands of bits is slow
        for up, down in zip(
            *(f"{bits:0{len(hypothesis)}b}"[::-1] for bits in (plus, minus)), strict=True
        ):
            row.append(row[-1] + (up == "1") - (down == "1"))
    return row


def _last_row(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int]:
    return deque(_rows(reference, hypothesis), maxlen=1)[0]


def _rows(reference: Sequence[str], hypothesis: Sequence[str]) -> Iterator[tuple[int, int]]:
    """
    Yield for each prefix of the reference where along the hypothesis the distance grows and
    where it falls, as one bit per word of the hypothesis.
    """
    masks: dict[str, int] = {}
    for place, word in enumerate(hypothesis):
        masks[word] = masks.get(word, 0) | (1 << place)
    full = (1 << len(hypothesis)) - 1
    plus, minus = full, 0
    yield plus, minus
    for word in reference:
        match = masks.get(word, 0)
        diagonal = (((match & plus) + plus) ^ plus) | match | minus
        up = ((minus | ~(diagonal | plus)) << 1) | 1
        down = (plus & diagonal) << 1
        plus = (down | ~(diagonal | up)) & full
        minus = up & diagonal & full
        yield plus, minus


def _backtrack(reference: Sequence[str], hypothesis: Sequence[str]) -> WordErrors:
    """Trace one alignment back from the end of both texts."""
    rows = list(_rows(reference, hypothesis))
    hits = substitutions = deletions = insertions = 0
    row, column = len(reference), len(hypothesis)
    while row and column:
        place = column - 1
        if reference[row - 1] == hypothesis[place]:
            hits, row, column = hits + 1, row - 1, place
        elif rows[row][0] >> place & 1:
            insertions, column = insertions + 1, place
        elif rows[row - 1][1] >> place & 1:
            deletions, row = deletions + 1, row - 1
        else:
            substitutions, row, column = substitutions + 1, row - 1, place
    return WordErrors(hits, substitutions, deletions + row, insertions + column)


def normalize(text: str) -> list[str]:
    """
    Return the words of a text as scoring compares them: lower case, without punctuation, `'` kept
    inside words.

    Chinese, Japanese and Thai are split into characters, since they have no spaces.
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    text = "".join(f" {char} " if is_spaceless(char) else char for char in text)
    kept = (
        char if char.isalnum() or char in "' " or unicodedata.combining(char) else " "
        for char in text
    )
    words = (word.strip("'") for word in re.split(r"\s+", "".join(kept)))
    return [word for word in words if word]


def cp_word_errors(
    reference: Mapping[str, Sequence[str]], hypothesis: Mapping[str, Sequence[str]]
) -> WordErrors:
    """
    Return the word errors of each speaker's joined words under the best matching of speakers.

    The words of an unmatched speaker count as deleted or inserted (Watanabe 2020, CHiME-6; equal
    to meeteval's cpWER). Words without a speaker form one more stream.
    """
    size = max(len(reference), len(hypothesis))
    expected = [*reference.values(), *([()] * (size - len(reference)))]
    actual = [*hypothesis.values(), *([()] * (size - len(hypothesis)))]
    matching = assign([[edit_distance(one, other) for other in actual] for one in expected])
    pairs = ((expected[row], actual[column]) for row, column in enumerate(matching))
    return sum((word_errors(*pair) for pair in pairs), WordErrors())


def words_by_speaker(transcript: Transcript) -> dict[str, list[str]]:
    """Return each speaker's normalized words; words without a speaker are under an empty name."""
    result: dict[str, list[str]] = {}
    for segment in transcript.segments:
        result.setdefault(segment.speaker or "", []).extend(normalize(segment.text))
    return result


def all_words(transcript: Transcript) -> list[str]:
    """Return all normalized words in the order of their segments."""
    return [word for segment in transcript.segments for word in normalize(segment.text)]


@dataclass(frozen=True, slots=True)
class DiarizationErrors:
    """
    Seconds of error; they add up over recordings with `+`.

    `total` is the reference speech; overlapping speech counts once per speaker.
    """

    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0
    total: float = 0.0

    @property
    def rate(self) -> float:
        """(missed + false alarm + confusion) / total; 0 or 1 if total is 0."""
        errors = self.missed + self.false_alarm + self.confusion
        return errors / self.total if self.total else float(errors > 0)

    def __add__(self, other: "DiarizationErrors") -> "DiarizationErrors":
        return DiarizationErrors(*map(add, astuple(self), astuple(other)))


def diarization_errors(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    collar: float = 0.0,
    *,
    skip_overlap: bool = False,
) -> DiarizationErrors:
    """
    Compare turns under the best matching of speakers.

    Args:
        collar: seconds ignored on EACH side of every reference boundary, as in NIST's md-eval;
            pyannote.metrics states the sum of both sides instead.
        skip_overlap: ignore time in which several speakers of the reference speak.
    """
    slices = list(_slices(reference, hypothesis, collar, skip_overlap=skip_overlap))
    mapping = _best_mapping(slices)
    missed = false_alarm = confusion = total = 0.0
    for seconds, expected, actual in slices:
        correct = sum(mapping.get(speaker) in expected for speaker in actual)
        # As in md-eval: of overlapping speech each speaker counts for all of its seconds.
        total += seconds * len(expected)
        missed += seconds * max(0, len(expected) - len(actual))
        false_alarm += seconds * max(0, len(actual) - len(expected))
        confusion += seconds * (min(len(expected), len(actual)) - correct)
    return DiarizationErrors(missed, false_alarm, confusion, total)


Slice = tuple[float, frozenset[str], frozenset[str]]


def _slices(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], collar: float, *, skip_overlap: bool
) -> Iterator[Slice]:
    """Yield intervals of constant speakers: seconds, reference and hypothesis speakers."""
    events: list[tuple[float, int, int, str]] = []
    for side, turns in enumerate((reference, hypothesis)):
        for turn in turns:
            if turn.end > turn.start:
                events.append((turn.start, side, 1, turn.speaker))
                events.append((turn.end, side, -1, turn.speaker))
    if collar > 0:
        for turn in reference:
            for edge in (turn.start, turn.end):
                events.append((edge - collar, 2, 1, ""))
                events.append((edge + collar, 2, -1, ""))
    events.sort(key=lambda event: event[0])
    active: tuple[dict[str, int], ...] = ({}, {}, {})
    for (time, side, step, speaker), (following, *_) in pairwise([*events, (0.0, 0, 0, "")]):
        counts = active[side]
        counts[speaker] = counts.get(speaker, 0) + step
        if not counts[speaker]:
            del counts[speaker]
        expected, actual, ignored = active
        wanted = (expected or actual) and not ignored and not (skip_overlap and len(expected) > 1)
        if following > time and wanted:
            yield following - time, frozenset(expected), frozenset(actual)


def _best_mapping(slices: Sequence[Slice]) -> dict[str, str]:
    """Map hypothesis speakers to reference speakers so that they share the most seconds."""
    shared: dict[tuple[str, str], float] = {}
    for seconds, expected, actual in slices:
        for one in expected:
            for other in actual:
                shared[one, other] = shared.get((one, other), 0.0) + seconds
    references = sorted({one for one, _ in shared})
    hypotheses = sorted({other for _, other in shared})
    # `assign` needs a row.
    if not references:
        return {}
    # extra columns let a reference speaker stay unmatched
    columns = [*hypotheses, *([None] * len(references))]
    costs = [[-shared.get((one, other or ""), 0.0) for other in columns] for one in references]
    matched = assign(costs)
    return {
        name: one
        for one, column in zip(references, matched, strict=True)
        if (name := columns[column]) is not None and (one, name) in shared
    }


COLLAR = 0.25  # default collar: seconds ignored on each side of a reference boundary


@dataclass(frozen=True, slots=True)
class MeetingErrors:
    """The result of `meet-transcriber score`: WER, cpWER and DER with their counts."""

    words: WordErrors
    speakers: WordErrors
    turns: DiarizationErrors


def meeting_errors(
    reference: Transcript,
    hypothesis: Transcript,
    collar: float = COLLAR,
    *,
    skip_overlap: bool = False,
) -> MeetingErrors:
    """Compare a transcript with its reference; see `diarization_errors` for the options."""
    return MeetingErrors(
        word_errors(all_words(reference), all_words(hypothesis)),
        cp_word_errors(words_by_speaker(reference), words_by_speaker(hypothesis)),
        diarization_errors(reference.turns, hypothesis.turns, collar, skip_overlap=skip_overlap),
    )
