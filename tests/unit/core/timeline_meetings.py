"""Meetings of the mind: random turns, and the timeline that somebody else noted of them."""

import random
from collections.abc import Sequence
from dataclasses import replace

from meet_transcriber.core.speaker_timeline import Entry, Timeline
from meet_transcriber.core.transcript import Turn

PEOPLE = ("Ann Lee", "Bob", "Carl", "Dana", "Eve", "Fay", "Gus", "Hal", "Ida")


def meeting(chance: random.Random, seconds: float, speakers: int) -> list[Turn]:
    """Turns of 1 to 20 s with pauses and some overlap."""
    turns: list[Turn] = []
    at = chance.uniform(0, 3)
    before = -1
    while at < seconds - 1:
        speaker = chance.choice([each for each in range(speakers) if each != before])
        end = min(at + chance.uniform(1, 20), seconds)
        turns.append(Turn(at, end, f"SPEAKER_{speaker:02d}"))
        at = max(0.0, end + chance.uniform(-0.5, 1.5))
        before = speaker
    return turns


def noted(turns: Sequence[Turn], offset: float = 0.0) -> Timeline:
    """What a conference system writes of these turns, its clock `offset` seconds behind."""
    entries = [
        Entry(PEOPLE[int(turn.speaker[-2:])], turn.start - offset, turn.end - offset)
        for turn in turns
    ]
    return Timeline(tuple(entry for entry in entries if entry.start >= 0))


def disturbed(chance: random.Random, timeline: Timeline, share: float) -> Timeline:
    """The same with some entries left out or given to somebody else, and all edges blurred."""
    people = sorted({entry.name for entry in timeline.entries})
    entries = []
    for entry in timeline.entries:
        fate = chance.random()
        if fate < share / 2:
            continue
        name = chance.choice(people) if fate < share else entry.name
        start = max(0.0, entry.start + chance.gauss(0, 0.3))
        end = max(start, entry.end + chance.gauss(0, 0.3))
        entries.append(replace(entry, name=name, start=start, end=end))
    return Timeline(tuple(sorted(entries, key=lambda entry: entry.start)))
