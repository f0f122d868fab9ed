"""Voices get the names of a timeline, and the sound decides."""

import random
from collections.abc import Sequence
from dataclasses import replace

from meet_transcriber.core.speaker_timeline import Entry, Timeline
from meet_transcriber.core.timeline_matching import Naming, name_speakers
from meet_transcriber.core.transcript import Turn
from tests.unit.core.timeline_meetings import PEOPLE, disturbed, meeting, noted

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
SECONDS = 1200.0


def made(seed: int = 1, speakers: int = 3) -> list[Turn]:
    return meeting(random.Random(seed), SECONDS, speakers)


def heard_as(turns: Sequence[Turn], **others: str) -> list[Turn]:
    """The turns as a diarizer has them that takes some speakers for others."""
    return [replace(each, speaker=others.get(each.speaker, each.speaker)) for each in turns]


def codes(taken: Naming) -> list[str]:
    return [warning.code for warning in taken.warnings]


def test_every_voice_is_named_without_warnings() -> None:
    taken = name_speakers(noted(made(), 120), made(), SECONDS)
    assert taken.names == dict(zip((A, B, C), PEOPLE, strict=False))
    assert codes(taken) == []


def test_an_inaccurate_timeline_still_names_voices_with_a_warning() -> None:
    timeline = disturbed(random.Random(2), noted(made()), 0.25)
    taken = name_speakers(timeline, made(), SECONDS)
    assert taken.names == dict(zip((A, B, C), PEOPLE, strict=False))
    assert codes(taken) == ["speaker_timeline_differs"]
    assert "Bob" in taken.warnings[0].message


def test_a_voice_of_two_people_is_named_after_one_with_a_warning() -> None:
    turns = [*made()[:60], *[turn for turn in made()[60:] if turn.speaker != C]]
    taken = name_speakers(noted(turns), heard_as(turns, SPEAKER_02=B), SECONDS)
    assert taken.names == {A: PEOPLE[0], B: PEOPLE[1]}
    assert f"{PEOPLE[2]} for " in taken.warnings[0].message
    assert "matched to no voice" in taken.warnings[0].message


def test_a_person_in_two_voices_names_one_of_them() -> None:
    turns = made(speakers=2)
    split = [
        replace(turn, speaker=C) if turn.speaker == B and at % 3 == 0 else turn
        for at, turn in enumerate(turns)
    ]
    taken = name_speakers(noted(turns), split, SECONDS)
    assert taken.names == {A: PEOPLE[0], B: PEOPLE[1]}
    assert codes(taken) == ["speaker_timeline_differs"]


def test_no_speaker_is_added() -> None:
    silent = Entry("Zoë", 1.0, 1.5)
    timeline = Timeline((silent, *noted(made(speakers=2)).entries))
    taken = name_speakers(timeline, made(speakers=2), SECONDS)
    assert set(taken.names) == {A, B}
    assert "Zoë" not in taken.names.values()


def test_without_voices_the_timeline_is_unused_with_a_warning() -> None:
    taken = name_speakers(noted(made()), [], SECONDS)
    assert (taken.names, codes(taken)) == ({}, ["speaker_timeline_unused"])


def test_labels_are_not_used_as_names() -> None:
    entries = [replace(each, name="SPEAKER_07") for each in noted(made(speakers=2)).entries]
    assert name_speakers(Timeline(tuple(entries)), made(speakers=2), SECONDS).names == {}


def test_one_voice_and_one_person_match_without_alignment() -> None:
    turns = [Turn(0.0, 50.0, A)]
    taken = name_speakers(Timeline((Entry("Ann", 0.0, 58.0),)), turns, 60.0)
    assert taken.names == {A: "Ann"}


def test_slightly_shifted_edges_are_not_reported() -> None:
    entries = [
        replace(each, start=each.start + 0.4, end=each.end + 0.4)
        for each in noted(made()).entries
        if each.end - each.start > 1
    ]
    assert codes(name_speakers(Timeline(tuple(entries)), made(), SECONDS)) == []
