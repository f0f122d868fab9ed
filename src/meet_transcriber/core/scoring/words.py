"""Word error rate, and its version for meetings, cpWER."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from meet_transcriber.core.scoring.assignment import assign
from meet_transcriber.core.scoring.edits import count_edits, distance
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
