"""Least edit distance between two lists of words, by bit vectors on whole numbers."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

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
