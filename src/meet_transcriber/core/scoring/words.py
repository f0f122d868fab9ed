"""Word error rate, and its version for meetings, cpWER."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from meet_transcriber.core.scoring.assignment import assign
from meet_transcriber.core.scripts import is_spaceless
from meet_transcriber.core.transcript import Transcript


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

    The distance is exact; among alignments of the same distance the one with the fewest
    substitutions is counted. Long texts are halved where a row of distances says that a best
    alignment passes (Hirschberg 1975), rows coming from bit vectors (Myers 1999, Hyyro 2003).
    """
    start = 0
    while start < min(len(reference), len(hypothesis)) and reference[start] == hypothesis[start]:
        start += 1
    end = 0
    shorter = min(len(reference), len(hypothesis)) - start
    while end < shorter and reference[-1 - end] == hypothesis[-1 - end]:
        end += 1
    same = WordErrors(hits=start + end)
    inner_reference = reference[start : len(reference) - end]
    inner_hypothesis = hypothesis[start : len(hypothesis) - end]
    return same + _aligned(inner_reference, inner_hypothesis)


_SMALL = 4_000_000  # cells of a table that fits well into memory


def _aligned(reference: Sequence[str], hypothesis: Sequence[str]) -> WordErrors:
    if not reference or not hypothesis:
        return WordErrors(deletions=len(reference), insertions=len(hypothesis))
    if len(reference) == 1 or len(reference) * len(hypothesis) <= _SMALL:
        return _table(reference, hypothesis)
    middle = len(reference) // 2
    head = _last_row(reference[:middle], hypothesis)
    tail = _last_row(reference[middle:][::-1], hypothesis[::-1])[::-1]
    cut = min(range(len(hypothesis) + 1), key=lambda at: head[at] + tail[at])
    return _aligned(reference[:middle], hypothesis[:cut]) + _aligned(
        reference[middle:], hypothesis[cut:]
    )


def _last_row(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int]:
    """Distance of the whole reference to every beginning of the hypothesis, by bit vectors."""
    masks: dict[str, int] = {}
    for place, word in enumerate(hypothesis):
        masks[word] = masks.get(word, 0) | (1 << place)
    full = (1 << len(hypothesis)) - 1
    plus, minus = full, 0
    for word in reference:
        match = masks.get(word, 0)
        diagonal = (((match & plus) + plus) ^ plus) | match | minus
        up = minus | (~(diagonal | plus) & full)
        down = plus & diagonal
        up = (up << 1) | 1
        down = (down << 1) & full
        plus = (down | (~(diagonal | up) & full)) & full
        minus = up & diagonal & full
    row = [len(reference)]
    for place in range(len(hypothesis)):
        row.append(row[-1] + (plus >> place & 1) - (minus >> place & 1))
    return row


def _table(reference: Sequence[str], hypothesis: Sequence[str]) -> WordErrors:
    """Distances with a way back; ties go to the path with fewer substitutions."""
    width = len(hypothesis) + 1
    above = [(at, 0) for at in range(width)]  # (errors, substitutions), compared in this order
    for row, word in enumerate(reference, 1):
        current = [(row, 0)]
        for column in range(1, width):
            diagonal = above[column - 1]
            if word != hypothesis[column - 1]:
                diagonal = (diagonal[0] + 1, diagonal[1] + 1)
            gap = min(above[column], current[-1])
            current.append(min(diagonal, (gap[0] + 1, gap[1])))
        above = current
    errors, substitutions = above[-1]
    gaps = errors - substitutions
    deletions = (gaps + len(reference) - len(hypothesis)) // 2
    hits = len(reference) - substitutions - deletions
    return WordErrors(hits, substitutions, deletions, gaps - deletions)


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
    errors = [[word_errors(one, other) for other in claimed] for one in said]
    matching = assign([[error.errors for error in row] for row in errors])
    return sum((errors[row][column] for row, column in enumerate(matching)), WordErrors())


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
