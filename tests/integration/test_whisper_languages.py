"""Languages on a tiny multilingual model that tells low sound from high sound."""

from collections.abc import Sequence

import numpy as np
import pytest

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Segment, Span, TranscriptWarning
from meet_transcriber.engines.faster_whisper import FasterWhisperRecognizer
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Finding, Waveform
from scripts.make_tiny_whisper import HIGH_LANGUAGE, LOW_LANGUAGE, SPARE_LANGUAGE, build

SPEECH = [Span(1, 9), Span(11, 19)]


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> FasterWhisperRecognizer:
    folder = build(tmp_path_factory.mktemp("whisper"), multilingual=True)
    return FasterWhisperRecognizer(str(folder), device="cpu")


def noise(lowest: float, highest: float) -> Waveform:
    """Twenty seconds of noise between two frequencies in Hz."""
    white = np.random.default_rng(0).normal(0, 0.1, 20 * SAMPLE_RATE_HZ)
    spectrum, hz = np.fft.rfft(white), np.fft.rfftfreq(white.size, 1 / SAMPLE_RATE_HZ)
    spectrum[(hz < lowest) | (hz > highest)] = 0
    return np.fft.irfft(spectrum).astype(np.float32)


LOW, HIGH, WHITE = noise(0, 2000), noise(2000, 8000), noise(0, 8000)


def languages(findings: Sequence[Finding]) -> set[str | None]:
    return {finding.language for finding in findings if isinstance(finding, Segment)}


def warnings(findings: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in findings if isinstance(finding, TranscriptWarning)]


@pytest.mark.parametrize(("audio", "language"), [(LOW, LOW_LANGUAGE), (HIGH, HIGH_LANGUAGE)])
def test_the_language_is_heard_in_each_part(
    recognizer: FasterWhisperRecognizer, audio: Waveform, language: str
) -> None:
    found = list(recognizer.recognize(audio, SPEECH, Options()))
    assert languages(found) == {language}
    assert warnings(found) == []


def test_the_likeliest_allowed_language_is_taken(recognizer: FasterWhisperRecognizer) -> None:
    allowed = Options(languages=(HIGH_LANGUAGE, "fr", LOW_LANGUAGE))
    assert languages(list(recognizer.recognize(LOW, SPEECH, allowed))) == {LOW_LANGUAGE}
    assert languages(list(recognizer.recognize(HIGH, SPEECH, allowed))) == {HIGH_LANGUAGE}


def test_the_next_language_is_taken_where_the_first_is_not_allowed(
    recognizer: FasterWhisperRecognizer,
) -> None:
    allowed = Options(languages=("fr", SPARE_LANGUAGE, HIGH_LANGUAGE))
    assert languages(list(recognizer.recognize(LOW, SPEECH, allowed))) == {SPARE_LANGUAGE}


def test_a_language_that_was_given_is_not_detected(recognizer: FasterWhisperRecognizer) -> None:
    found = list(recognizer.recognize(WHITE, [Span(1, 3)], Options(language="fr")))
    assert (languages(found), warnings(found)) == ({"fr"}, [])


def test_an_uncertain_language_is_said_aloud(recognizer: FasterWhisperRecognizer) -> None:
    found = list(recognizer.recognize(WHITE, [Span(1, 3)], Options()))
    assert warnings(found) == ["language_uncertain"]
    assert len(languages(found)) == 1


def test_among_few_allowed_languages_the_likeliest_is_certain(
    recognizer: FasterWhisperRecognizer,
) -> None:
    found = list(recognizer.recognize(LOW, [Span(1, 2)], Options()))
    assert warnings(found) == ["language_uncertain"]
    few = Options(languages=(LOW_LANGUAGE, HIGH_LANGUAGE))
    assert warnings(list(recognizer.recognize(LOW, [Span(1, 2)], few))) == []


def test_a_translation_is_english_whatever_was_heard(recognizer: FasterWhisperRecognizer) -> None:
    recognizer.check(Options(task="translate"))
    assert languages(list(recognizer.recognize(LOW, SPEECH, Options(task="translate")))) == {"en"}


@pytest.mark.parametrize("options", [Options(language="yue"), Options(languages=("xx", "yy"))])
def test_a_language_that_the_model_does_not_know_is_refused_before_work(
    recognizer: FasterWhisperRecognizer, options: Options
) -> None:
    with pytest.raises(InvalidOptions, match=r"none of the languages (yue|xx, yy)"):
        recognizer.check(options)
