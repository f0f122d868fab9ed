"""Who is in a transcript whose words people gave to each other: speakers of words and of turns."""

from collections.abc import Sequence
from dataclasses import replace

from meet_transcriber.core.transcript import Segment, Turn


def speakers_left(
    known: Sequence[str], segments: Sequence[Segment], turns: Sequence[Turn]
) -> tuple[str, ...]:
    """Labels that have words or turns: those that were known in their order, then new ones."""
    heard = (segment.speaker for segment in segments if segment.speaker)
    left = [*heard, *(turn.speaker for turn in turns)]
    there = set(left)
    return tuple(dict.fromkeys([*(label for label in known if label in there), *left]))


def turns_by_segments(segments: Sequence[Segment], turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Times of segments whose speaker is known, and the turns of those who have no words."""
    spoken = [Turn(each.start, each.end, each.speaker) for each in segments if each.speaker]
    both = [*spoken, *turns_without_words(segments, turns)]
    return tuple(sorted(both, key=lambda turn: (turn.start, turn.end)))


def turns_without_words(segments: Sequence[Segment], turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns of speakers who have no segment."""
    heard = {segment.speaker for segment in segments}
    return tuple(turn for turn in turns if turn.speaker not in heard)


def turns_given(turns: Sequence[Turn], source: str | None, to: str | None) -> tuple[Turn, ...]:
    """Turns where all of `source` are those of `to`; nobody known has none."""
    if to is None:
        return tuple(turn for turn in turns if turn.speaker != source)
    return tuple(replace(each, speaker=to) if each.speaker == source else each for each in turns)
