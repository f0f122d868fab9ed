"""A whole meeting against its reference."""

from dataclasses import replace
from pathlib import Path

from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.scoring import meeting_errors
from meet_transcriber.core.transcript import Transcript

BUDGET = read_transcript(Path(__file__).parents[2] / "data" / "budget.json")


def test_against_an_empty_reference_everything_is_wrong() -> None:
    errors = meeting_errors(Transcript(), BUDGET)
    assert (errors.words.rate, errors.speakers.rate, errors.turns.rate) == (1.0, 1.0, 1.0)


def test_a_meeting_against_itself_has_no_error() -> None:
    errors = meeting_errors(BUDGET, BUDGET)
    assert (errors.words.errors, errors.speakers.errors, errors.turns.rate) == (0, 0, 0.0)
    assert errors.words.total > 100


def test_words_without_speakers_cost_speakers_only() -> None:
    segments = tuple(replace(segment, speaker=None) for segment in BUDGET.segments)
    errors = meeting_errors(BUDGET, replace(BUDGET, segments=segments, turns=()))
    assert errors.words.errors == 0
    assert errors.speakers.rate > 0.5
    assert errors.turns.rate == 1.0
