"""
Where a timeline lies in its recording: the shift at which people and voices agree best.

Activity is kept as one bit a cell in one integer per person and per voice, so that the seconds
which both share at some shift are a shift, an AND and a count. Every shift is tried in steps of a
second (longer where both together have more than eight hours), then those around the best in steps
of a tenth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from meet_transcriber.core.scoring.assignment import assign
from meet_transcriber.core.transcript import Span, total_seconds

Tracks = Mapping[str, Sequence[Span]]
"""Name or label to when it is active; spans in order and apart."""

_COARSE, _FINE = 1.0, 0.1
_MOST_SHIFTS = 30_000
_TRACKS = 8  # those who speak most tell where it is; the others would only cost time
_CLEAR = 0.8  # of the best agreement is the most that a shift elsewhere may reach
_CLEAR_AT_ZERO = 0.92  # the same where the clocks agree: hardly any other shift does by chance
_AGREED = 0.6  # of the time in which both say that somebody speaks; unrelated ones reach half
_AT_ZERO = 3.0
_LEAST_SECONDS = 45.0  # that agree; in less, something fits anywhere by chance
_ELSEWHERE = 10.0  # seconds away at least; with long entries as far as they are long


@dataclass(frozen=True, slots=True)
class Offset:
    """Seconds to add to a timeline's times; `clear` is False where no shift stands out."""

    seconds: float
    clear: bool


def find_offset(people: Tracks, voices: Tracks, duration: float) -> Offset:
    """
    The shift that lets people and voices share most seconds, each person one voice.

    Where it shares hardly more than others do, it is 0 and not clear.

    Args:
        people: from the timeline.
        voices: turns by label.
        duration: of the recording.
    """
    people, voices = _loudest(people), _loudest(voices)
    if not people or not voices:
        return Offset(0.0, clear=False)
    latest = max(spans[-1].end for spans in people.values())
    cell = max(_COARSE, (latest + duration) / _MOST_SHIFTS)
    shifts = range(-int(latest / cell), int(duration / cell) + 1)
    scores = _coarse(_masks(people, cell), _masks(voices, cell), shifts)
    best = max(shifts, key=lambda shift: (scores[shift], -abs(shift)))
    seconds, agreed = _fine(people, voices, best * cell, 1.5 * cell)
    bound = _CLEAR_AT_ZERO if abs(seconds) <= _AT_ZERO else _CLEAR
    away = _elsewhere(people) / cell
    other = max((scores[each] for each in shifts if abs(each - best) > away), default=0)
    little = abs(seconds) > _AT_ZERO and scores[best] * cell < _LEAST_SECONDS
    if little or agreed < _AGREED or other > bound * scores[best]:
        return Offset(0.0, clear=False)
    return Offset(seconds, clear=True)


def _loudest(tracks: Tracks) -> Tracks:
    order = sorted(tracks, key=lambda name: -total_seconds(tracks[name]))
    return {name: tracks[name] for name in order[:_TRACKS] if tracks[name]}


def _elsewhere(people: Tracks) -> float:
    """How far away a shift is another one: long entries share much with their neighbourhood."""
    spans = [span for track in people.values() for span in track]
    mean = sum(span.duration**2 for span in spans) / max(total_seconds(spans), _FINE)
    return max(_ELSEWHERE, mean)


def _masks(tracks: Tracks, cell: float) -> list[int]:
    return [_mask(spans, cell) for spans in tracks.values()]


def _mask(spans: Sequence[Span], cell: float) -> int:
    """One bit for each cell whose middle is active."""
    mask = 0
    for span in spans:
        first, last = round(span.start / cell), round(span.end / cell)
        mask |= ((1 << (last - first)) - 1) << first
    return mask


def _coarse(people: list[int], voices: list[int], shifts: range) -> dict[int, int]:
    """For each shift the most cells that a matching could share: a bound, quick to tell."""
    scores = {}
    for shift in shifts:
        shared = _shared(people, voices, shift)
        by_voice = sum(map(max, shared))
        scores[shift] = min(by_voice, sum(map(max, zip(*shared, strict=True))))
    return scores


def _fine(people: Tracks, voices: Tracks, about: float, reach: float) -> tuple[float, float]:
    """
    The best shift within `reach` seconds, the middle where several are the best; and the share
    that then agrees of the time in which both say that somebody speaks.
    """
    masks, heard = _masks(people, _FINE), _masks(voices, _FINE)
    first, last = round((about - reach) / _FINE), round((about + reach) / _FINE)
    scores = {shift: _matched(_shared(masks, heard, shift)) for shift in range(first, last + 1)}
    most = max(scores.values())
    best = [shift for shift, score in scores.items() if score == most]
    (both,) = _shared(masks, [reduce(or_, heard)], best[0])
    return sum(best) / len(best) * _FINE, most / max(sum(both), 1)


def _shared(people: list[int], voices: list[int], shift: int) -> list[list[int]]:
    """Cells that each voice shares with each person."""
    moved = [mask << shift if shift >= 0 else mask >> -shift for mask in people]
    return [[(mask & voice).bit_count() for mask in moved] for voice in voices]


def _matched(shared: Sequence[Sequence[int]]) -> int:
    """The most cells that can be shared where each person has one voice."""
    pairs = zip(shared, matching(shared), strict=True)
    return sum(row[column] for row, column in pairs if column < len(row))


def matching(shared: Sequence[Sequence[float]]) -> list[int]:
    """For each row its column so that most is shared; a column that is not there for none."""
    columns = max((len(row) for row in shared), default=0)
    costs = [[-value for value in row] + [0.0] * len(shared) for row in shared]
    return [min(column, columns) for column in assign(costs)]
