"""Joining what was heard on both sides of a cut through running speech."""

from collections.abc import Sequence

from meet_transcriber.core.scoring.words import normalized
from meet_transcriber.core.transcript import Word

_FAR = 1.0  # seconds between two hearings of one word; alignment is worst at a window's edges


def join_at_seam(
    left: Sequence[Word], right: Sequence[Word], seam: float
) -> tuple[list[Word], list[Word]]:
    """
    Return what stays of both hearings, so that no word is there twice and none is lost.

    Both have heard some audio on the other side of the seam. They are joined at the word that
    both heard and that lies nearest to the seam; where there is none, each keeps its own side.

    Args:
        left, right: words before and after the seam, in time order; they overlap.
        seam: seconds.
    """
    start, end = (right[0].start, left[-1].end) if left and right else (seam, seam)
    tail = [at for at, word in enumerate(left) if word.end > start - _FAR]
    head = [at for at, word in enumerate(right) if word.start < end + _FAR]
    pairs = [(one, two) for one in tail for two in head if _same(left[one], right[two])]
    if pairs:

        def distance(pair: tuple[int, int]) -> float:
            context = _agreement(left, right, *pair)
            return abs(left[pair[0]].middle - seam) - context

        one, two = min(pairs, key=distance)
        return list(left[:one]), list(right[two:])
    return (
        [word for word in left if word.middle < seam],
        [word for word in right if word.middle >= seam],
    )


def _same(one: Word, two: Word) -> bool:
    near = abs(one.middle - two.middle) <= _FAR
    return near and bool(key := normalized(one.text)) and key == normalized(two.text)


def _agreement(left: Sequence[Word], right: Sequence[Word], one: int, two: int) -> int:
    """How many of the neighbours of a word agree, too."""
    return sum(
        0 <= one + step < len(left)
        and 0 <= two + step < len(right)
        and _same(left[one + step], right[two + step])
        for step in (-2, -1, 1, 2)
    )
