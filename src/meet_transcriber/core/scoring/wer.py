"""Word error rate, and cpWER for meetings: counts that add up."""

import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from meet_transcriber.core.scoring.assignment import assign
from meet_transcriber.core.scripts import is_spaceless
from meet_transcriber.core.transcript import Transcript

_STORED_BITS = 16_000_000  # what a way back may keep at once: 2 MB for each kind of step


class Edits(NamedTuple):
    """Counts along one alignment of least distance."""

    hits: int
    substitutions: int
    deletions: int
    insertions: int


def distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest words to substitute, delete or insert."""
    plus, minus = _last_row(reference, hypothesis)
    return len(reference) + plus.bit_count() - minus.bit_count()


def count_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> Edits:
    """
    Count the edits of one alignment of least distance.

    Where several are equally short, the total is the same and the kinds may differ from
    those of other tools. Long texts are halved where a best alignment passes
    (Hirschberg 1975), so that memory stays small; steps between neighbouring distances are
    bits of one number per row (Myers 1999, Hyyro 2003).
    """
    if len(reference) <= 1 or len(reference) * len(hypothesis) <= _STORED_BITS:
        return _way_back(reference, hypothesis)
    middle = len(reference) // 2
    cut = _crossing(reference[:middle], reference[middle:], hypothesis)
    head = count_edits(reference[:middle], hypothesis[:cut])
    tail = count_edits(reference[middle:], hypothesis[cut:])
    return Edits(*(one + other for one, other in zip(head, tail, strict=True)))


def _crossing(head: Sequence[str], tail: Sequence[str], hypothesis: Sequence[str]) -> int:
    """How many words of the hypothesis a best alignment gives to `head`."""
    forward = _distances(head, hypothesis)
    backward = _distances(tail[::-1], hypothesis[::-1])[::-1]
    return min(range(len(forward)), key=lambda at: forward[at] + backward[at])


def _distances(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int]:
    """Distance of the whole reference to every beginning of the hypothesis."""
    plus, minus = _last_row(reference, hypothesis)
    row = [len(reference)]
    for up, down in zip(_bits(plus, len(hypothesis)), _bits(minus, len(hypothesis)), strict=True):
        row.append(row[-1] + (up == "1") - (down == "1"))
    return row


def _bits(number: int, length: int) -> str:
    """The lowest `length` bits, lowest first."""
    return f"{number:0{length}b}"[::-1] if length else ""


def _last_row(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int]:
    return deque(_rows(reference, hypothesis), maxlen=1)[0]


def _rows(reference: Sequence[str], hypothesis: Sequence[str]) -> Iterator[tuple[int, int]]:
    """
    For no word of the reference, then one, then two ...: where along the hypothesis the
    distance grows and where it falls, as one bit per word of the hypothesis.
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


def _way_back(reference: Sequence[str], hypothesis: Sequence[str]) -> Edits:
    """Walk from the end of both to an edge, along distances that fit."""
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
    return Edits(hits, substitutions, deletions + row, insertions + column)


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts of words; hits + substitutions + deletions make up the reference."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def total(self) -> int:
        """Words of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """errors / total; may exceed 1; 0 or 1 where the reference is empty."""
        if self.total == 0:
            return 1.0 if self.errors else 0.0
        return self.errors / self.total

    def __add__(self, other: "WordErrors") -> "WordErrors":
        return WordErrors(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


def normalized(text: str) -> list[str]:
    """
    Words as scoring compares them: lower case, no punctuation, `'` kept inside words.

    Chinese, Japanese and Thai are compared character by character, since they have no spaces.
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    text = "".join(f" {char} " if is_spaceless(char) else char for char in text)
    kept = (
        char if char.isalnum() or char in "' " or unicodedata.combining(char) else " "
        for char in text
    )
    words = (word.strip("'") for word in re.split(r"\s+", "".join(kept)))
    return [word for word in words if word]


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> WordErrors:
    """
    Compare two lists of words by their least edit distance.

    `errors` and `total` are exact. Where several alignments are equally short, how errors
    part into substitutions, deletions and insertions may differ from other tools.
    """
    return WordErrors(*count_edits(reference, hypothesis))


def cp_word_errors(
    reference: Mapping[str, Sequence[str]], hypothesis: Mapping[str, Sequence[str]]
) -> WordErrors:
    """
    Word errors of each speaker's joined words under the best matching of speakers.

    A speaker without a partner counts as deleted or inserted (Watanabe 2020, CHiME-6; the
    same as meeteval's cpWER). Words without a speaker belong into a stream of their own.
    """
    size = max(len(reference), len(hypothesis))
    said = [*reference.values(), *([()] * (size - len(reference)))]
    claimed = [*hypothesis.values(), *([()] * (size - len(hypothesis)))]
    matching = assign([[distance(one, other) for other in claimed] for one in said])
    pairs = ((said[row], claimed[column]) for row, column in enumerate(matching))
    return sum((word_errors(*pair) for pair in pairs), WordErrors())


def streams(transcript: Transcript) -> dict[str, list[str]]:
    """Each speaker's normalized words; those of nobody known form one more stream."""
    result: dict[str, list[str]] = {}
    for segment in transcript.segments:
        result.setdefault(segment.speaker or "", []).extend(normalized(segment.text))
    return result


def all_words(transcript: Transcript) -> list[str]:
    """All normalized words in time order of their segments."""
    return _joined(normalized(segment.text) for segment in transcript.segments)


def _joined(lists: Iterable[list[str]]) -> list[str]:
    return [word for words in lists for word in words]
