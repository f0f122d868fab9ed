"""Aligns a speaker timeline with its recording and names the recording's speakers after it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from meet_transcriber.core.scoring import assign
from meet_transcriber.core.speaker_timeline import Timeline
from meet_transcriber.core.transcript import (
    Span,
    TranscriptWarning,
    Turn,
    merge_spans,
    total_seconds,
)

Tracks = Mapping[str, Sequence[Span]]
"""Name or label to its active spans, in order and disjoint."""

_COARSE, _FINE = 1.0, 0.1
_MOST_SHIFTS = 30_000
_MAX_TRACKS = 8  # those who speak most suffice for alignment
_CLEAR = 0.8  # maximum score of a shift elsewhere, relative to the best
_CLEAR_AT_ZERO = 0.92  # the same if the clocks agree, which is unlikely by chance
_MIN_AGREEMENT = 0.6  # share of common speech; unrelated timelines reach half
_AT_ZERO = 3.0
_MIN_COMMON_SECONDS = 45.0  # less may agree by chance
_ELSEWHERE = 10.0  # minimum seconds between distinct shifts; more with long entries


@dataclass(frozen=True, slots=True)
class Offset:
    """Seconds to add to the times of a timeline; `clear` is False if no shift stands out."""

    seconds: float
    clear: bool


def find_offset(people: Tracks, voices: Tracks, duration: float) -> Offset:
    """
    Find the shift at which people and voices share the most seconds, each person one voice.

    Activity is one bit per cell in one integer per person and per voice, so that shared seconds
    are a shift, an AND and a bit count. First all shifts are tried in steps of a second (more if
    both together exceed eight hours), then those around the best in steps of a tenth. If no
    shift stands out, the offset is 0 and not clear.

    Args:
        people: from the timeline.
        voices: turns by label.
        duration: of the recording, in seconds.
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
    little = abs(seconds) > _AT_ZERO and scores[best] * cell < _MIN_COMMON_SECONDS
    if little or agreed < _MIN_AGREEMENT or other > bound * scores[best]:
        return Offset(0.0, clear=False)
    return Offset(seconds, clear=True)


def _loudest(tracks: Tracks) -> Tracks:
    order = sorted(tracks, key=lambda name: -total_seconds(tracks[name]))
    return {name: tracks[name] for name in order[:_MAX_TRACKS] if tracks[name]}


def _elsewhere(people: Tracks) -> float:
    """Return the minimum distance of distinct shifts; long entries overlap their shifted selves."""
    spans = [span for track in people.values() for span in track]
    mean = sum(span.duration**2 for span in spans) / max(total_seconds(spans), _FINE)
    return max(_ELSEWHERE, mean)


def _masks(tracks: Tracks, cell: float) -> list[int]:
    return [_mask(spans, cell) for spans in tracks.values()]


def _mask(spans: Sequence[Span], cell: float) -> int:
    """Return one bit per active cell."""
    mask = 0
    for span in spans:
        first, last = round(span.start / cell), round(span.end / cell)
        mask |= ((1 << (last - first)) - 1) << first
    return mask


def _coarse(people: list[int], voices: list[int], shifts: range) -> dict[int, int]:
    """Return for each shift an upper bound of the cells that a matching can share."""
    scores = {}
    for shift in shifts:
        shared = _shared(people, voices, shift)
        by_voice = sum(map(max, shared))
        scores[shift] = min(by_voice, sum(map(max, zip(*shared, strict=True))))
    return scores


def _fine(people: Tracks, voices: Tracks, about: float, reach: float) -> tuple[float, float]:
    """
    Return the best shift within `reach` seconds, the middle of several, and the share of common
    speech that agrees.
    """
    masks, voice_masks = _masks(people, _FINE), _masks(voices, _FINE)
    first, last = round((about - reach) / _FINE), round((about + reach) / _FINE)
    scores = {
        shift: _matched(_shared(masks, voice_masks, shift)) for shift in range(first, last + 1)
    }
    most = max(scores.values())
    best = [shift for shift, score in scores.items() if score == most]
    (both,) = _shared(masks, [reduce(or_, voice_masks)], best[0])
    return sum(best) / len(best) * _FINE, most / max(sum(both), 1)


def _shared(people: list[int], voices: list[int], shift: int) -> list[list[int]]:
    """Return the cells that each voice shares with each person."""
    moved = [mask << shift if shift >= 0 else mask >> -shift for mask in people]
    return [[(mask & voice).bit_count() for mask in moved] for voice in voices]


def _matched(shared: Sequence[Sequence[int]]) -> int:
    """Return the maximum of shared cells if each person has one voice."""
    pairs = zip(shared, matching(shared), strict=True)
    return sum(row[column] for row, column in pairs if column < len(row))


def matching(shared: Sequence[Sequence[float]]) -> list[int]:
    """Return the column of each row that maximizes the sum; an index past the end for none."""
    columns = max((len(row) for row in shared), default=0)
    costs = [[-value for value in row] + [0.0] * len(shared) for row in shared]
    return [min(column, columns) for column in assign(costs)]


_MIN_SHARE = 0.5  # of a voice's time in which its person must be active
_LIFT, _SECONDS = 0.3, 2.0  # required margin above chance; required shared seconds
_LIFT_UNCLEAR, _SECONDS_UNCLEAR = 0.7, 30.0  # the same if the offset is not clear
_EDGE = 0.5  # conference systems notice changes of speaker this late
_WARN_SECONDS, _WARN_SHARE = 3.0, 0.05  # smaller differences cause no warning
_WARN_PEOPLE, _WARN_CHARS = 5, 40
_UNUSED = TranscriptWarning(
    "speaker_timeline_unused",
    "The speaker timeline was not used: the transcript does not distinguish speakers.",
)
_LABEL = re.compile(r"SPEAKER_\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Naming:
    """Names by speaker label, warnings, and the offset of the timeline."""

    names: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[TranscriptWarning, ...] = ()
    offset: Offset = field(default=Offset(0.0, clear=False))


def name_speakers(timeline: Timeline, turns: Sequence[Turn], duration: float) -> Naming:
    """
    Name the speakers of a recording after the people of a timeline.

    The audio decides who speaks when and how many speakers there are: no speaker is added, and a
    speaker is named only if one person is active during most of their speech. Each person is one
    speaker.

    Args:
        timeline: on any clock; its offset to the recording is estimated.
        turns: from diarization, or from channels.
        duration: of the recording, in seconds.
    """
    voices = _tracks((turn.speaker, Span(turn.start, turn.end)) for turn in turns)
    if not voices:
        return Naming(warnings=(_UNUSED,))
    people = _people(timeline, duration)
    offset = find_offset(people, voices, duration)
    people = {name: _within(spans, offset.seconds, duration) for name, spans in people.items()}
    people = {name: spans for name, spans in people.items() if spans}
    names = _names(people, voices, clear=offset.clear)
    warnings = () if offset.clear else (_not_aligned(named=bool(names)),)
    return Naming(names, (*warnings, *_differences(people, voices, names)), offset)


def _tracks(spans: Iterable[tuple[str, Span]]) -> Tracks:
    found: dict[str, list[Span]] = {}
    for name, span in spans:
        found.setdefault(name, []).append(span)
    return {name: merge_spans(each) for name, each in found.items()}


def _people(timeline: Timeline, duration: float) -> Tracks:
    """Return spans by person; a clock that starts after the recording's end starts at 0."""
    first = min((entry.start for entry in timeline.entries), default=0.0)
    zero = first if first >= duration else 0.0
    entries = timeline.entries
    return _tracks((each.name, Span(each.start - zero, each.end - zero)) for each in entries)


def _within(spans: Sequence[Span], offset: float, duration: float) -> list[Span]:
    moved = [Span(max(s.start + offset, 0.0), min(s.end + offset, duration)) for s in spans]
    return [span for span in moved if span.end > span.start]


def _names(people: Tracks, voices: Tracks, *, clear: bool) -> dict[str, str]:
    """Match voices and persons one to one, by shared seconds."""
    labels, persons = list(voices), list(people)
    shared = [
        [shared_seconds(voices[label], people[person]) for person in persons] for label in labels
    ]
    spoken = [shared_seconds(voices[label], _window(people)) for label in labels]
    alone = len(labels) == len(persons) == 1
    lift, seconds = (_LIFT, _SECONDS) if clear or alone else (_LIFT_UNCLEAR, _SECONDS_UNCLEAR)
    names = {}
    for row, column in enumerate(matching(shared)):
        if column < len(persons) and not _LABEL.fullmatch(persons[column]):
            # a person who speaks most of the time matches any voice, so subtract chance
            together = sum(each[column] for each in shared)
            by_chance = 0.0 if alone else together / max(sum(spoken), 1.0)
            least = max(_MIN_SHARE, by_chance + lift * (1 - by_chance)) * spoken[row]
            if shared[row][column] >= max(least, seconds):
                names[labels[row]] = persons[column]
    return names


def _window(people: Tracks) -> list[Span]:
    """Return the span from the first entry to the last; outside, the timeline is silent."""
    starts = [spans[0].start for spans in people.values()]
    return [Span(min(starts), max(spans[-1].end for spans in people.values()))] if starts else []


def shared_seconds(a: Sequence[Span], b: Sequence[Span]) -> float:
    """Return the seconds in both; spans of each are in order and disjoint."""
    seconds, first, second = 0.0, 0, 0
    while first < len(a) and second < len(b):
        seconds += max(0.0, min(a[first].end, b[second].end) - max(a[first].start, b[second].start))
        if a[first].end < b[second].end:
            first += 1
        else:
            second += 1
    return seconds


# -- warnings --------------------------------------------------------------------------------


def _differences(
    people: Tracks, voices: Tracks, names: Mapping[str, str]
) -> tuple[TranscriptWarning, ...]:
    """Warn if the timeline names a person while only other voices speak."""
    speech = merge_spans(span for spans in voices.values() for span in spans)
    labels = {name: label for label, name in names.items()}
    differing = {}
    for name, spans in people.items():
        inner = [
            Span(each.start + _EDGE, each.end - _EDGE)
            for each in spans
            if each.duration > 2 * _EDGE
        ]
        own = voices[labels[name]] if name in labels else ()
        differing[name] = shared_seconds(inner, speech) - shared_seconds(inner, own)
    total = sum(differing.values())
    covered = sum(total_seconds(spans) for spans in people.values())
    if total < max(_WARN_SECONDS, _WARN_SHARE * covered):
        return ()
    return (_differs(differing, total, covered, set(labels)),)


def _differs(
    differing: Mapping[str, float], total: float, covered: float, named: set[str]
) -> TranscriptWarning:
    counted = (name for name, seconds in differing.items() if seconds >= 1)
    order = sorted(counted, key=lambda name: -differing[name])
    named_people = [
        f"{_short(name)} for {differing[name]:.0f} s"
        + ("" if name in named else " (matched to no voice)")
        for name in order[:_WARN_PEOPLE]
    ]
    more = f" and {len(order) - _WARN_PEOPLE} more" if len(order) > _WARN_PEOPLE else ""
    return TranscriptWarning(
        "speaker_timeline_differs",
        f"The speaker timeline names another speaker than the audio for {total:.0f} of its "
        f"{covered:.0f} seconds; the audio was followed. The timeline names "
        f"{', '.join(named_people)}{more}.",
    )


def _short(name: str) -> str:
    return name if len(name) <= _WARN_CHARS else f"{name[: _WARN_CHARS - 1]}…"


def _not_aligned(*, named: bool) -> TranscriptWarning:
    taken = "names were used only for voices that match far better than by chance"
    return TranscriptWarning(
        "speaker_timeline_not_aligned",
        "The speaker timeline could not be aligned with the audio, so its times were used "
        f"unchanged; {taken if named else 'no voice matches a name clearly, and none was used'}.",
    )
