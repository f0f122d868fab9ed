"""Where a timeline lies in its recording."""

import random
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.speaker_timeline import Timeline
from meet_transcriber.core.timeline_matching import find_offset, name_speakers
from meet_transcriber.core.transcript import Turn
from tests.unit.core.timeline_meetings import disturbed, meeting, noted

seeds = st.integers(0, 10_000)


@given(seeds, st.integers(2, 8), st.floats(-1500, 1500))
@settings(max_examples=60)
def test_the_offset_is_found_within_a_fifth_of_a_second(
    seed: int, speakers: int, offset: float
) -> None:
    chance = random.Random(seed)
    turns = meeting(chance, 2700, speakers)
    timeline = disturbed(chance, noted(turns, offset), 0.2)
    found = name_speakers(timeline, turns, 2700).offset
    assert found.clear
    assert found.seconds == pytest.approx(offset, abs=0.2)


@given(seeds, st.integers(2, 8))
@settings(max_examples=40)
def test_the_timeline_of_another_meeting_fits_nowhere(seed: int, speakers: int) -> None:
    chance = random.Random(seed)
    turns, other = (meeting(chance, 1200, speakers) for _ in range(2))
    taken = name_speakers(noted(other), turns, 1200)
    assert (taken.offset.clear, taken.offset.seconds, dict(taken.names)) == (False, 0.0, {})
    assert taken.warnings[0].code == "speaker_timeline_not_aligned"


def test_a_clock_that_starts_after_the_recording_is_aligned() -> None:
    turns = meeting(random.Random(1), 600, 3)
    found = name_speakers(noted(turns, -36_000), turns, 600)
    assert found.offset.clear
    assert len(found.names) == 3


def test_a_recording_of_the_middle_is_found_in_a_timeline_of_all() -> None:
    turns = meeting(random.Random(1), 5400, 5)
    part = [
        replace(turn, start=turn.start - 2000, end=turn.end - 2000)
        for turn in turns
        if turn.start >= 2000 and turn.end <= 3200
    ]
    found = name_speakers(disturbed(random.Random(1), noted(turns), 0.2), part, 1200)
    assert found.offset.seconds == pytest.approx(-2000, abs=0.2)
    assert len(found.names) == 5


def test_a_single_continuous_speaker_gives_no_offset() -> None:
    talk = [Turn(0, 900, "SPEAKER_00")]
    assert name_speakers(noted(talk), talk, 900).offset.seconds == pytest.approx(0, abs=0.2)
    shifted = name_speakers(noted([Turn(0, 400, "SPEAKER_00")]), talk, 900)
    assert (shifted.offset.clear, shifted.offset.seconds) == (False, 0.0)


def test_four_hours_are_aligned_in_seconds() -> None:
    turns = meeting(random.Random(1), 14_400, 8)
    timeline = disturbed(random.Random(1), noted(turns, 900), 0.2)
    started = time.perf_counter()
    assert name_speakers(timeline, turns, 14_400).offset.seconds == pytest.approx(900, abs=0.2)
    assert time.perf_counter() - started < 20


def test_nothing_is_aligned_with_nothing() -> None:
    assert not find_offset({}, {}, 60).clear
    assert name_speakers(Timeline(), meeting(random.Random(1), 60, 2), 60).names == {}
