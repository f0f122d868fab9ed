"""A meeting from recording to speaker-labelled transcript, with Whisper tiny.en and no hint."""

from itertools import pairwise
from pathlib import Path

import pytest

from meet_transcriber import transcribe
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.scoring import MeetingErrors, meeting_errors, normalize
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.settings import Settings

pytestmark = pytest.mark.xdist_group("sample")  # recognized once, by one worker

SAMPLES = Path(__file__).parents[2] / "src" / "meet_transcriber" / "samples"
DATA = Path(__file__).parents[1] / "data"
SETTINGS = Settings(whisper_model="tiny.en", diarization_engine="onnx")


@pytest.fixture(scope="module")
def sample() -> Transcript:
    return transcribe(SAMPLES / "standup.ogg", settings=SETTINGS)


@pytest.fixture(scope="module")
def truth() -> Transcript:
    return read_transcript(SAMPLES / "standup.json")


@pytest.fixture(scope="module")
def errors(sample: Transcript, truth: Transcript) -> MeetingErrors:
    return meeting_errors(truth, sample)


def test_four_speakers_are_found_without_a_hint(sample: Transcript) -> None:
    assert len(sample.speakers) == 4


def test_at_most_four_percent_of_words_are_wrong(errors: MeetingErrors) -> None:
    assert errors.words.rate <= 0.04


def test_at_most_four_percent_of_words_are_wrong_or_anothers(errors: MeetingErrors) -> None:
    assert errors.speakers.rate <= 0.04


def test_at_most_five_percent_of_the_time_is_anothers(errors: MeetingErrors) -> None:
    assert errors.turns.rate <= 0.05


def test_all_speech_has_words_and_nothing_is_in_doubt(sample: Transcript) -> None:
    assert sample.coverage >= 0.99
    assert (sample.removed, sample.warnings) == ((), ())
    assert (sample.language, sample.languages) == ("en", ("en",))


def test_every_word_takes_time_in_order_inside_the_recording(sample: Transcript) -> None:
    assert all(0 <= word.start < word.end <= sample.duration for word in sample.words)
    assert all(one.start <= other.start for one, other in pairwise(sample.words))
    assert not any(word.estimated for word in sample.words)


def test_no_word_is_there_twice(sample: Transcript, truth: Transcript) -> None:
    assert twice(sample) <= twice(truth)


def twice(transcript: Transcript) -> set[tuple[str, ...]]:
    """Up to four words that are said twice in a row."""
    words = normalize(transcript.text)
    return {
        tuple(words[at : at + size])
        for size in range(1, 5)
        for at in range(len(words) - 2 * size + 1)
        if words[at : at + size] == words[at + size : at + 2 * size]
    }


def test_another_meeting_with_other_voices_is_recognizable() -> None:
    found = transcribe(DATA / "budget.ogg", settings=SETTINGS)
    errors = meeting_errors(read_transcript(DATA / "budget.json"), found)
    assert len(found.speakers) == 3
    assert errors.words.rate <= 0.06
    assert errors.turns.rate <= 0.05
