"""Whisper base on the bundled sample, also with German as its language."""

import pytest

from meet_transcriber import transcribe
from meet_transcriber.cli.demo import (
    MAX_CPWER,
    MAX_DER,
    MAX_WER,
    MIN_COVERAGE,
    sample_recording,
    sample_reference,
    score_sample,
)
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.settings import Settings
from tests.integration.test_sample import DATA, twice

SETTINGS = Settings(whisper_model="base", diarization_engine="onnx")


@pytest.fixture(scope="module")
def sample() -> Transcript:
    with sample_recording() as path:
        return transcribe(path, settings=SETTINGS)


def test_the_sample_keeps_the_bounds_of_the_doctor(sample: Transcript) -> None:
    errors = score_sample(sample)
    assert errors.words.rate <= MAX_WER
    assert errors.speakers.rate <= MAX_CPWER
    assert errors.turns.rate <= MAX_DER
    assert sample.coverage >= MIN_COVERAGE
    assert len(sample.speakers) == 4
    assert sample.engine.startswith("whisper base ")


def test_the_language_is_detected_without_warnings(sample: Transcript) -> None:
    assert (sample.language, sample.languages) == ("en", ("en",))
    assert (sample.removed, sample.warnings) == ((), ())


def test_every_word_has_a_duration_and_none_is_repeated(sample: Transcript) -> None:
    assert all(0 <= word.start < word.end <= sample.duration for word in sample.words)
    assert twice(sample) <= twice(sample_reference())


def test_a_language_that_is_not_allowed_is_a_warning() -> None:
    found = transcribe(DATA / "budget.ogg", settings=SETTINGS, languages=("de", "nl"))
    (warning,) = found.warnings
    assert warning.code == "language_not_allowed"
    assert "English was detected, but only de, nl is allowed" in warning.message
    assert set(found.languages) <= {"de", "nl"}
