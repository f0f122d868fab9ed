"""DER, in seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.scoring import (
    DiarizationErrors,
    diarization_errors,
)
from meet_transcriber.core.transcript import Turn


def _turn(start: int, length: int, speaker: str) -> Turn:
    return Turn(start, start + length, speaker)


turns = st.lists(
    st.builds(_turn, st.integers(0, 50), st.integers(0, 20), st.sampled_from("ABC")), max_size=8
)


def test_a_recording_without_speech_has_rate_zero_or_one() -> None:
    assert diarization_errors([], []).rate == 0
    assert diarization_errors([], [Turn(0, 2, "x")]).rate == 1


def test_each_kind_of_error_is_counted() -> None:
    reference = [Turn(0, 10, "A"), Turn(10, 14, "B")]
    hypothesis = [Turn(2, 10, "x"), Turn(10, 13, "x"), Turn(15, 20, "x")]
    found = diarization_errors(reference, hypothesis)
    assert found == DiarizationErrors(missed=3, false_alarm=5, confusion=3, total=14)


def test_the_collar_lies_on_each_side_of_a_reference_boundary() -> None:
    reference, late = [Turn(10, 20, "A")], [Turn(10.25, 20.25, "x")]
    assert diarization_errors(reference, late, collar=0.25) == DiarizationErrors(total=9.5)
    assert diarization_errors(reference, late, collar=0.2).missed == pytest.approx(0.05)


def test_overlap_counts_for_each_speaker_or_not_at_all() -> None:
    reference = [Turn(0, 10, "A"), Turn(5, 15, "B")]
    assert diarization_errors(reference, []).total == 20
    assert diarization_errors(reference, [], skip_overlap=True).total == 10


def test_a_speaker_too_many_is_confusion() -> None:
    found = diarization_errors([Turn(0, 10, "A")], [Turn(0, 7, "x"), Turn(7, 10, "y")])
    assert found == DiarizationErrors(confusion=3, total=10)


def test_seconds_add_up_over_recordings() -> None:
    both = DiarizationErrors(1, 2, 3, 10) + DiarizationErrors(1, 1, 1, 20)
    assert (both, both.rate) == (DiarizationErrors(2, 3, 4, 30), 0.3)


@given(turns)
def test_turns_have_no_errors_against_themselves(reference: list[Turn]) -> None:
    assert diarization_errors(reference, reference).rate == 0


@given(turns, turns)
def test_missed_and_false_alarm_swap_with_the_sides(one: list[Turn], other: list[Turn]) -> None:
    there, back = diarization_errors(one, other), diarization_errors(other, one)
    assert (there.missed, there.confusion) == (back.false_alarm, back.confusion)


@given(turns, turns)
def test_errors_never_exceed_the_speech_of_both(
    reference: list[Turn], hypothesis: list[Turn]
) -> None:
    found = diarization_errors(reference, hypothesis)
    assert found.missed + found.confusion <= found.total
    assert min(found.missed, found.false_alarm, found.confusion) >= 0
