"""Languages on a tiny multilingual model in the real format that tells low sound from high."""

from collections.abc import Sequence

import numpy as np
import pytest

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Segment, Span, TranscriptWarning
from meet_transcriber.engines.whisper.loader import load_recognizer
from meet_transcriber.pipeline import ignore_progress
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Finding, Recognizer, Waveform
from scripts.make_tiny_whisper import HIGH_LANGUAGE, LOW_LANGUAGE, build

SPEECH = [Span(1, 9), Span(11, 19)]


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    folder = build(tmp_path_factory.mktemp("whisper"), multilingual=True)
    return load_recognizer(str(folder), "scripted", "cpu", None, 2)


def noise(lowest: float, highest: float) -> Waveform:
    """Return twenty seconds of noise between two frequencies in Hz."""
    white = np.random.default_rng(0).normal(0, 0.1, 20 * SAMPLE_RATE_HZ)
    spectrum, hz = np.fft.rfft(white), np.fft.rfftfreq(white.size, 1 / SAMPLE_RATE_HZ)
    spectrum[(hz < lowest) | (hz > highest)] = 0
    return np.fft.irfft(spectrum).astype(np.float32)


LOW, HIGH = noise(0, 2000), noise(2000, 8000)


def heard(recognizer: Recognizer, audio: Waveform, options: Options) -> list[Finding]:
    return list(recognizer.recognize(audio, SPEECH, options, ignore_progress))


def languages(findings: Sequence[Finding]) -> set[str | None]:
    return {finding.language for finding in findings if isinstance(finding, Segment)}


def warnings(findings: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in findings if isinstance(finding, TranscriptWarning)]


@pytest.mark.parametrize(("audio", "language"), [(LOW, LOW_LANGUAGE), (HIGH, HIGH_LANGUAGE)])
def test_the_language_is_detected(recognizer: Recognizer, audio: Waveform, language: str) -> None:
    found = heard(recognizer, audio, Options())
    assert (languages(found), warnings(found)) == ({language}, [])


def test_the_likeliest_allowed_language_is_chosen(recognizer: Recognizer) -> None:
    allowed = Options(languages=(HIGH_LANGUAGE, "fr", LOW_LANGUAGE))
    assert languages(heard(recognizer, LOW, allowed)) == {LOW_LANGUAGE}
    assert languages(heard(recognizer, HIGH, allowed)) == {HIGH_LANGUAGE}


def test_a_language_that_is_not_allowed_is_reported(recognizer: Recognizer) -> None:
    found = heard(recognizer, LOW, Options(languages=("fr", HIGH_LANGUAGE)))
    assert warnings(found) == ["language_not_allowed"]
    assert languages(found) <= {"fr", HIGH_LANGUAGE}


def test_a_given_language_is_not_detected(recognizer: Recognizer) -> None:
    found = heard(recognizer, LOW, Options(language="fr"))
    assert (languages(found), warnings(found)) == ({"fr"}, [])


def test_a_translation_is_english_whatever_was_said(recognizer: Recognizer) -> None:
    assert languages(heard(recognizer, LOW, Options(task="translate"))) == {"en"}


@pytest.mark.parametrize("options", [Options(language="yue"), Options(languages=("yue",))])
def test_a_language_that_the_model_does_not_know_is_refused_before_work(
    recognizer: Recognizer, options: Options
) -> None:
    with pytest.raises(InvalidOptions, match=r"none of the languages yue"):
        recognizer.check(options)
