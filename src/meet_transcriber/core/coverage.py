"""How much of the detected speech has words."""

from collections.abc import Iterable, Sequence

from meet_transcriber.core.transcript import Span, Word, total_seconds

BRIDGE = 1.0
"""Seconds between two words that still count as spoken through: breath, not a hole."""


def merged(spans: Iterable[Span], bridge: float = 0.0) -> tuple[Span, ...]:
    """Spans in order, those that touch or lie within `bridge` seconds made one."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if result and span.start - result[-1].end <= bridge:
            result[-1] = Span(result[-1].start, max(result[-1].end, span.end))
        else:
            result.append(span)
    return tuple(result)


def uncovered(
    speech: Sequence[Span], words: Sequence[Word], minimum: float = 0.0
) -> tuple[Span, ...]:
    """
    Return the stretches of speech, at least `minimum` seconds long, that have no words.

    Pauses of up to `BRIDGE` seconds between words are covered, and so is half of that
    before the first and after the last, since detectors pad speech.
    """
    spoken = merged((Span(word.start, word.end) for word in words), BRIDGE)
    holes: list[Span] = []
    first = 0
    for span in merged(speech):
        while first < len(spoken) and spoken[first].end <= span.start - BRIDGE / 2:
            first += 1
        holes.extend(_holes(span, spoken, first))
    return tuple(hole for hole in holes if hole.duration >= max(minimum, 1e-9))


def _holes(span: Span, spoken: Sequence[Span], first: int) -> list[Span]:
    """What of `span` lies outside `spoken[first:]`."""
    holes: list[Span] = []
    at = span.start
    for index in range(first, len(spoken)):
        start, end = spoken[index].start - BRIDGE / 2, spoken[index].end + BRIDGE / 2
        if start >= span.end:
            break
        if start > at:
            holes.append(Span(at, start))
        at = max(at, end)
    if at < span.end:
        holes.append(Span(at, span.end))
    return holes


def coverage(speech: Sequence[Span], words: Sequence[Word]) -> float:
    """Return the share of speech seconds that has words, in [0, 1]; 1 without speech."""
    total = total_seconds(merged(speech))
    if total == 0:
        return 1.0
    return min(max(1.0 - total_seconds(uncovered(speech, words)) / total, 0.0), 1.0)
