"""Whose voice is whose: the people of a timeline meet the voices of its recording."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from meet_transcriber.core.speaker_timeline.alignment import Offset, Tracks, find_offset, matching
from meet_transcriber.core.speaker_timeline.entries import Timeline
from meet_transcriber.core.transcript import Span, TranscriptWarning, Turn, total_seconds
from meet_transcriber.core.word_timing import merged

_SHARE = 0.5  # of a voice's time that its person must be active for
_LIFT, _SECONDS = 0.3, 2.0  # how far above chance, of what is possible; what both share
_LIFT_UNCLEAR, _SECONDS_UNCLEAR = 0.7, 30.0  # the same where the place in time is not clear
_EDGE = 0.5  # conference systems notice a change of speaker late; so much is no difference
_TOLD_SECONDS, _TOLD_SHARE = 3.0, 0.05  # what is less is not worth a warning
_TOLD_PEOPLE, _TOLD_CHARS = 5, 40
_LABEL = re.compile(r"SPEAKER_\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Naming:
    """Names by speaker label, everything in doubt, and how far the timeline was moved."""

    names: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[TranscriptWarning, ...] = ()
    offset: Offset = field(default=Offset(0.0, clear=False))


def take_over(timeline: Timeline, turns: Sequence[Turn], duration: float) -> Naming:
    """
    Name the voices of a recording after the people of a timeline.

    The sound decides who speaks when and how many there are: nobody is added, and a voice is
    named only where one person is active during most of it. Each person has one voice.

    Args:
        timeline: on whatever clock; where it lies in the recording is found out.
        turns: from diarization, or from channels.
        duration: of the recording, in seconds.
    """
    voices = _tracks((turn.speaker, Span(turn.start, turn.end)) for turn in turns)
    if not voices:
        return Naming(warnings=(_unused(),))
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
    return {name: merged(each) for name, each in found.items()}


def _people(timeline: Timeline, duration: float) -> Tracks:
    """Each person's entries; a clock that begins after the recording's end counts from there."""
    first = min((entry.start for entry in timeline.entries), default=0.0)
    zero = first if first >= duration else 0.0
    return _tracks(
        (each.name, Span(each.start - zero, each.end - zero)) for each in timeline.entries
    )


def _within(spans: Sequence[Span], offset: float, duration: float) -> list[Span]:
    moved = (
        Span(max(each.start + offset, 0.0), min(each.end + offset, duration)) for each in spans
    )
    return [span for span in moved if span.end > span.start]


def _names(people: Tracks, voices: Tracks, *, clear: bool) -> dict[str, str]:
    """One person a voice and one voice a person, by the seconds that they share."""
    labels, persons = list(voices), list(people)
    shared = [
        [shared_seconds(voices[label], people[person]) for person in persons] for label in labels
    ]
    spoken = [shared_seconds(voices[label], _window(people)) for label in labels]
    alone = len(labels) == len(persons) == 1
    names = {}
    for row, column in enumerate(matching(shared)):
        if column < len(persons) and not _LABEL.fullmatch(persons[column]):
            # a person who speaks most of the time fits any voice, so chance is taken off
            by_chance = sum(each[column] for each in shared) / max(sum(spoken), 1.0)
            least = _least_share(0.0 if alone else by_chance, clear or alone) * spoken[row]
            if shared[row][column] >= max(least, _SECONDS if clear or alone else _SECONDS_UNCLEAR):
                names[labels[row]] = persons[column]
    return names


def _least_share(by_chance: float, clear: bool) -> float:
    lift = _LIFT if clear else _LIFT_UNCLEAR
    return max(_SHARE, by_chance + lift * (1 - by_chance))


def _window(people: Tracks) -> list[Span]:
    """From the first entry to the last: of other times the timeline says nothing."""
    starts = [spans[0].start for spans in people.values()]
    return [Span(min(starts), max(spans[-1].end for spans in people.values()))] if starts else []


def shared_seconds(a: Sequence[Span], b: Sequence[Span]) -> float:
    """Seconds in both; spans of each are in order and apart."""
    seconds, first, second = 0.0, 0, 0
    while first < len(a) and second < len(b):
        seconds += max(0.0, min(a[first].end, b[second].end) - max(a[first].start, b[second].start))
        if a[first].end < b[second].end:
            first += 1
        else:
            second += 1
    return seconds


# -- what is in doubt ------------------------------------------------------------------------


def _differences(
    people: Tracks, voices: Tracks, names: Mapping[str, str]
) -> tuple[TranscriptWarning, ...]:
    """A warning where the timeline names somebody while only other voices are heard."""
    heard = merged(span for spans in voices.values() for span in spans)
    labels = {name: label for label, name in names.items()}
    differing = {}
    for name, spans in people.items():
        inner = [
            Span(each.start + _EDGE, each.end - _EDGE)
            for each in spans
            if each.duration > 2 * _EDGE
        ]
        own = voices[labels[name]] if name in labels else ()
        differing[name] = shared_seconds(inner, heard) - shared_seconds(inner, own)
    total = sum(differing.values())
    covered = sum(total_seconds(spans) for spans in people.values())
    if total < max(_TOLD_SECONDS, _TOLD_SHARE * covered):
        return ()
    return (_differs(differing, total, covered, set(labels)),)


def _differs(
    differing: Mapping[str, float], total: float, covered: float, named: set[str]
) -> TranscriptWarning:
    order = sorted(
        (name for name in differing if differing[name] >= 1), key=lambda name: -differing[name]
    )
    told = [
        f"{_short(name)} for {differing[name]:.0f} s"
        + ("" if name in named else " (matched to no voice)")
        for name in order[:_TOLD_PEOPLE]
    ]
    more = f" and {len(order) - _TOLD_PEOPLE} more" if len(order) > _TOLD_PEOPLE else ""
    return TranscriptWarning(
        "speaker_timeline_differs",
        f"The speaker timeline names another speaker than the audio for {total:.0f} of its "
        f"{covered:.0f} seconds; the audio was followed. The timeline names "
        f"{', '.join(told)}{more}.",
    )


def _short(name: str) -> str:
    return name if len(name) <= _TOLD_CHARS else f"{name[: _TOLD_CHARS - 1]}…"


def _not_aligned(*, named: bool) -> TranscriptWarning:
    taken = "names were used only for voices that match far better than by chance"
    return TranscriptWarning(
        "speaker_timeline_not_aligned",
        "The speaker timeline could not be aligned with the audio, so its times were used "
        f"unchanged; {taken if named else 'no voice matches a name clearly, and none was used'}.",
    )


def _unused() -> TranscriptWarning:
    return TranscriptWarning(
        "speaker_timeline_unused",
        "The speaker timeline was not used: the transcript does not distinguish speakers.",
    )
