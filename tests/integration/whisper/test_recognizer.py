"""Whisper tiny.en on a recording of half a minute."""

import io
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.vad import SileroDetector
from meet_transcriber.core.errors import EngineUnavailable, InvalidOptions, JobCancelled
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.options import Options
from meet_transcriber.core.scoring import all_words, word_errors
from meet_transcriber.core.transcript import Removed, Segment, Span, Transcript, TranscriptWarning
from meet_transcriber.engines.whisper.loader import load_in_process, load_recognizer
from meet_transcriber.pipeline import ignore_progress
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Finding, Recognizer, Waveform
from scripts.make_tiny_whisper import build

DATA = Path(__file__).parents[2] / "data"
Recording = tuple[Waveform, Sequence[Span]]
WEIGHTS = Path(os.environ["MODELS_DIR"]) / "tiny.en"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return load_recognizer(str(WEIGHTS), "tiny.en", "cpu", None, 2)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """The samples, and where speech was detected."""
    working, decoder = io.BytesIO(), PyavDecoder()
    with (DATA / "budget.ogg").open("rb") as media:
        prepared, _ = decoder.prepare(media, working, Options(), ignore_progress)
    source = decoder.open(working, prepared)
    speech = SileroDetector().detect(source, 0, ignore_progress)
    return source.read(0, source.duration), speech


@pytest.fixture(scope="module")
def shares() -> list[float]:
    """The progress reported while `found` was computed."""
    return []


@pytest.fixture(scope="module")
def found(recognizer: Recognizer, recording: Recording, shares: list[float]) -> list[Finding]:
    return list(recognizer.recognize(*recording, Options(), shares.append))


def segments(findings: Sequence[Finding]) -> list[Segment]:
    return [finding for finding in findings if isinstance(finding, Segment)]


def words_of(findings: Sequence[Finding]) -> list[str]:
    return all_words(Transcript(tuple(segments(findings)), "en", 60.0, ()))


def warnings(findings: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in findings if isinstance(finding, TranscriptWarning)]


def test_its_name_contains_model_precision_and_device(recognizer: Recognizer) -> None:
    assert recognizer.name == "whisper tiny.en int8 cpu"


def test_english_speech_is_recognized(found: list[Finding]) -> None:
    truth = all_words(read_transcript(DATA / "budget.json"))
    assert word_errors(truth, words_of(found)).rate <= 0.06
    assert {segment.language for segment in segments(found)} == {"en"}
    assert warnings(found) == []


def test_every_word_is_in_order_inside_detected_speech(
    found: list[Finding], recording: Recording
) -> None:
    words = [word for segment in segments(found) for word in segment.words]
    assert all(one.start <= other.start for one, other in pairwise(words))
    for word in words:
        assert word.start < word.end
        assert 0 < (word.probability or 0) <= 1
        assert any(s.start <= word.start and word.end <= s.end for s in recording[1]), word


def test_the_same_audio_gives_the_same_words(
    recognizer: Recognizer, recording: Recording, found: list[Finding]
) -> None:
    assert list(recognizer.recognize(*recording, Options(), ignore_progress)) == found


def test_a_batch_of_one_gives_the_same_words(recording: Recording, found: list[Finding]) -> None:
    one = load_in_process(str(WEIGHTS), "tiny.en", "cpu", None, 1, 1)
    alone = list(one.recognize(*recording, Options(), ignore_progress))
    assert words_of(alone) == words_of(found)


def test_silence_has_no_findings(recognizer: Recognizer, recording: Recording) -> None:
    assert list(recognizer.recognize(recording[0] * 0, [], Options(), ignore_progress)) == []


def test_noise_detected_as_speech_has_no_words(recognizer: Recognizer) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 20 * SAMPLE_RATE_HZ).astype(np.float32)
    found = list(recognizer.recognize(noise, [Span(1, 19)], Options(), ignore_progress))
    assert segments(found) == []
    assert all(isinstance(each, Removed) for each in found)


def test_progress_rises_to_the_end(found: list[Finding], shares: list[float]) -> None:
    assert len(segments(found)) > 1
    assert shares == sorted(shares)
    assert len(set(shares)) > 1
    assert shares[-1] == 1.0


def test_the_progress_callback_can_cancel(recognizer: Recognizer, recording: Recording) -> None:
    def cancel(share: float) -> None:
        raise JobCancelled(f"Cancelled at {share:.2f}.")

    with pytest.raises(JobCancelled, match=r"at 0\."):
        list(recognizer.recognize(*recording, Options(), cancel))


def test_hotwords_and_a_prompt_are_used(
    recognizer: Recognizer, recording: Recording, found: list[Finding]
) -> None:
    hints = Options(hotwords=("training", "offer"), initial_prompt="A meeting about the budget.")
    hinted = list(recognizer.recognize(*recording, hints, ignore_progress))
    assert warnings(hinted) == []
    assert word_errors(words_of(found), words_of(hinted)).rate <= 0.1


def test_hints_that_are_too_long_are_cut_with_a_warning(
    recognizer: Recognizer, recording: Recording, found: list[Finding]
) -> None:
    long = Options(hotwords=("training",) * 300, initial_prompt="We spoke of it before. " * 100)
    cut = list(recognizer.recognize(*recording, long, ignore_progress))
    assert warnings(cut) == ["prompt_cut"]
    assert word_errors(words_of(found), words_of(cut)).rate <= 0.1


@pytest.mark.parametrize(
    "options", [Options(language="fr"), Options(languages=("de", "nl")), Options(task="translate")]
)
def test_an_english_model_refuses_other_languages_before_work(
    recognizer: Recognizer, recording: Recording, options: Options
) -> None:
    with pytest.raises(InvalidOptions, match=r"tiny\.en .* knows English only"):
        recognizer.check(options)
    with pytest.raises(InvalidOptions):
        next(iter(recognizer.recognize(*recording, options, ignore_progress)))


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
def test_a_folder_that_is_not_a_model_is_refused(
    tmp_path: Path, damage: Callable[[Path], object], name: str
) -> None:
    damage(build(tmp_path / "mine") / name)
    with pytest.raises(EngineUnavailable, match="mine cannot be loaded on cpu"):
        load_recognizer(str(tmp_path / "mine"), "mine", "cpu", None, 1)


def test_a_vocabulary_without_a_special_token_is_refused(tmp_path: Path) -> None:
    file = build(tmp_path / "mine") / "tokenizer.json"
    file.write_text(file.read_text().replace("<|notimestamps|>", "<|other|>"))
    with pytest.raises(EngineUnavailable, match=r"tokenizer\.json has no <\|notimestamps"):
        load_recognizer(str(tmp_path / "mine"), "mine", "cpu", None, 1)
