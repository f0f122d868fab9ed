"""The faster-whisper recognizer on a tiny model in the real format."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from meet_transcriber.core.errors import EngineUnavailable, InvalidOptions, RecognitionFailed
from meet_transcriber.core.options import Options
from meet_transcriber.core.timing import RawWord
from meet_transcriber.core.transcript import Removed, Segment, Span, TranscriptWarning
from meet_transcriber.engines.faster_whisper import (
    WINDOW_SECONDS,
    FasterWhisperRecognizer,
    RawSegment,
    build_windows,
)
from meet_transcriber.ports.engines import Finding, Waveform
from scripts.make_tiny_whisper import SENTENCE, build

SAID = "Good morning everybody twenty-five people came."
SPEECH = [Span(1, 4), Span(40, 43), Span(80, 83)]


@pytest.fixture(scope="module", params=["english", "multilingual"])
def recognizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> FasterWhisperRecognizer:
    folder = tmp_path_factory.mktemp("whisper")
    build(folder, multilingual=request.param == "multilingual")
    return FasterWhisperRecognizer(str(folder), device="cpu")


@pytest.fixture(scope="module")
def audio() -> Waveform:
    return np.random.default_rng(0).normal(0, 0.1, 90 * 16_000).astype(np.float32)


def segments(findings: Sequence[Finding]) -> list[Segment]:
    return [finding for finding in findings if isinstance(finding, Segment)]


def test_windows_come_out_in_time_order_with_whole_words(
    recognizer: FasterWhisperRecognizer, audio: Waveform
) -> None:
    found = segments(list(recognizer.recognize(audio, SPEECH, Options())))
    assert len(found) == 3
    assert all(segment.text.startswith(SAID) for segment in found)
    assert "".join(SENTENCE).split()[-1] == "came."


def test_every_word_has_times_inside_its_window(
    recognizer: FasterWhisperRecognizer, audio: Waveform
) -> None:
    for segment in segments(list(recognizer.recognize(audio, SPEECH, Options()))):
        starts = [word.start for word in segment.words]
        assert starts == sorted(starts)
        assert any(span.start <= starts[0] and segment.words[-1].end <= span.end for span in SPEECH)
        assert all(0 <= (word.probability or 0) <= 1 for word in segment.words)


def test_parts_in_any_order_give_the_same(
    recognizer: FasterWhisperRecognizer, audio: Waveform
) -> None:
    parts = [(audio[: 30 * 16_000], [Span(1, 4)]), (audio[30 * 16_000 :], [Span(10, 13)])]
    forth = [list(recognizer.recognize(*part, Options())) for part in parts]
    back = [list(recognizer.recognize(*part, Options())) for part in reversed(parts)]
    assert forth == back[::-1]


def test_findings_come_while_decoding_and_may_be_abandoned(
    recognizer: FasterWhisperRecognizer, audio: Waveform
) -> None:
    findings = recognizer.recognize(audio, SPEECH, Options(language="en"))
    assert isinstance(next(findings), Segment)
    findings.close()  # type: ignore[attr-defined]
    assert segments(list(recognizer.recognize(audio, SPEECH[:1], Options())))


def test_silence_gives_nothing(recognizer: FasterWhisperRecognizer, audio: Waveform) -> None:
    assert list(recognizer.recognize(audio * 0, [], Options())) == []


def test_an_english_model_refuses_other_languages_before_work(tmp_path: Path) -> None:
    recognizer = FasterWhisperRecognizer(str(build(tmp_path)), device="cpu")
    for options in (Options(language="fr"), Options(languages=("de",)), Options(task="translate")):
        with pytest.raises(InvalidOptions, match="English"):
            recognizer.check(options)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "model.bin").unlink()
    with pytest.raises(EngineUnavailable, match=r"model\.bin.*models pull"):
        FasterWhisperRecognizer(str(tmp_path))


def test_damaged_weights_are_said_in_words(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"damaged")
    with pytest.raises(EngineUnavailable, match="cannot be loaded"):
        FasterWhisperRecognizer(str(tmp_path))


def test_long_speech_is_cut_into_windows_that_whisper_can_see() -> None:
    windows = build_windows([Span(0, 100), Span(101, 102), Span(103, 104)])
    assert max(window.duration for window in windows) <= WINDOW_SECONDS
    assert (windows[0].start, windows[-1].end) == (0, 104)


class Scripted:
    """A Decoder with a small GPU, several languages and a script."""

    name = "scripted"
    multilingual = True
    known: Sequence[str] = ("nl", "de", "en")

    def __init__(self, room: int = 8, hole: bool = False, text: str = "hello there") -> None:
        self.room = room
        self.hole = hole
        self.text = text
        self.batches: list[int] = []
        self.looked_again: list[float] = []
        self.asked: list[str] = []

    def languages(self, audio: Waveform) -> list[tuple[str, float]]:
        return [("nl", 0.6), ("de", 0.3), ("en", 0.1)]

    def batch(
        self, audio: Waveform, windows: Sequence[Span], language: str, options: Options
    ) -> list[list[RawSegment]]:
        if len(windows) > self.room:
            raise RuntimeError("CUDA failed with error out of memory")
        self.batches.append(len(windows))
        self.asked.append(language)
        return [[] if self.hole else [self._segment(window)] for window in windows]

    def careful(self, audio: Waveform, language: str, options: Options) -> list[RawSegment]:
        self.looked_again.append(len(audio) / 16_000)
        return [self._segment(Span(0, len(audio) / 16_000))]

    def _segment(self, window: Span) -> RawSegment:
        words = self.text.split()
        step = window.duration / len(words)
        raw = tuple(
            RawWord(f" {word}", window.start + at * step, window.start + (at + 1) * step, 0.9)
            for at, word in enumerate(words)
        )
        return RawSegment(self.text, window.start, window.end, raw, -0.3, 0.1, 1.0)


def scripted(audio: Waveform, decoder: Scripted, options: Options | None = None) -> list[Finding]:
    recognizer = FasterWhisperRecognizer("", decoder=decoder)
    return list(recognizer.recognize(audio, SPEECH, options or Options()))


def test_out_of_memory_halves_the_batch_and_is_said_aloud(audio: Waveform) -> None:
    decoder = Scripted(room=2)
    found = scripted(audio, decoder)
    codes = [finding.code for finding in found if isinstance(finding, TranscriptWarning)]
    assert set(codes) == {"batch_reduced"}
    assert len(segments(found)) == 3


def test_a_gpu_without_any_room_is_an_engine_that_is_not_there(audio: Waveform) -> None:
    with pytest.raises(EngineUnavailable, match="WHISPER_MODEL"):
        scripted(audio, Scripted(room=0))


def test_other_failures_keep_their_reason(audio: Waveform) -> None:
    class Broken(Scripted):
        def batch(self, *_: object) -> list[list[RawSegment]]:
            raise RuntimeError("invalid magic")

    with pytest.raises(RecognitionFailed, match="invalid magic"):
        scripted(audio, Broken())


def test_speech_that_the_batch_left_out_is_decoded_again(audio: Waveform) -> None:
    decoder = Scripted(hole=True)
    assert len(segments(scripted(audio, decoder))) == 3
    assert decoder.looked_again == [3.0, 3.0, 3.0]


def test_the_likeliest_allowed_language_is_taken(audio: Waveform) -> None:
    decoder = Scripted()
    scripted(audio, decoder, Options(languages=("de", "en")))
    assert set(decoder.asked) == {"de"}


def test_an_uncertain_language_is_said_aloud(audio: Waveform) -> None:
    class Unsure(Scripted):
        def languages(self, audio: Waveform) -> list[tuple[str, float]]:
            return [("nl", 0.3), ("de", 0.28), ("en", 0.2), ("fr", 0.2)]

    found = scripted(audio, Unsure())
    assert any(isinstance(f, TranscriptWarning) and f.code == "language_uncertain" for f in found)


def test_an_echo_of_the_prompt_is_cut_and_listed(audio: Waveform) -> None:
    found = scripted(audio, Scripted(text="Keycloak, Ann"), Options(hotwords=("Keycloak", "Ann")))
    assert {f.reason for f in found if isinstance(f, Removed)} == {"prompt"}


def test_a_loop_is_cut_and_listed(audio: Waveform) -> None:
    found = scripted(audio, Scripted(text="thank you " * 20))
    assert {f.reason for f in found if isinstance(f, Removed)} == {"loop"}
    assert all(len(segment.words) == 4 for segment in segments(found))
