"""Whisper base on synthesized recordings: words, times and languages are right."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import faster_whisper
import numpy as np
import pytest
import soundfile

from benchmarks.meetings.generate import from_seed
from benchmarks.meetings.sounds import SOUNDS, sound
from benchmarks.meetings.talk import sentences
from benchmarks.meetings.voices import VOICES, Voice, synthesize
from meet_transcriber.bootstrap import engines
from meet_transcriber.core.options import Options
from meet_transcriber.core.scoring import all_words, normalize, word_errors
from meet_transcriber.core.transcript import Removed, Segment, Span, Transcript
from meet_transcriber.engines.whisper.loader import load_in_process
from meet_transcriber.pipeline import Chosen, Pipeline, ignore_progress, run
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Recognizer, Waveform
from meet_transcriber.settings import Settings

WEIGHTS = Path(os.environ["MODELS_DIR"]) / "base"
SEEDS = (8801, 8802, 8803)  # of meetings that nothing was tuned on
ITALIAN = Voice("lp", "festival:lp_diphone", accent="Italian")
ITALIAN_TALK = (
    "Buongiorno a tutti. Oggi parliamo del bilancio di questa azienda. La riunione comincia alle "
    "nove e finisce prima di mezzogiorno. Poi andiamo insieme a mangiare in un ristorante vicino."
)

Hear = Callable[..., Transcript]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return load_in_process(str(WEIGHTS), "base", "cpu", None, 2, None)


@contextmanager
def recorded(audio: Waveform, options: Options) -> Iterator[tuple[Path, Pipeline]]:
    """A file with the samples, and the pipeline of a worker for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recording.flac")
        soundfile.write(path, audio, SAMPLE_RATE_HZ, subtype="PCM_16")
        yield path, engines.pipeline(Settings(), options, Path(folder, "work"), "job")


@pytest.fixture
def hear(recognizer: Recognizer) -> Hear:
    """Takes samples through the whole pipeline, without speakers."""

    def heard(audio: Waveform, language: str | None = "en", **wishes: object) -> Transcript:
        options = Options(language=language, enable_diarization=False, **wishes)  # type: ignore[arg-type]
        with recorded(audio, options) as (path, pipeline):
            return run(pipeline, path, Chosen(recognizer), None)

    return heard


def pause(seconds: float) -> Waveform:
    return np.random.default_rng(3).normal(0, 1e-4, round(seconds * 16_000)).astype(np.float32)


def without_pauses(seed: int, seconds: float) -> tuple[Waveform, str]:
    """One voice that never draws breath, and what it says."""
    parts: list[Waveform] = []
    said: list[str] = []
    for text in sentences(seed):
        samples = synthesize(VOICES["slt"], text).samples
        parts.append(samples[160:-480])  # without the quiet that was kept at both ends
        said.append(text)
        if sum(map(len, parts)) > seconds * SAMPLE_RATE_HZ:
            return np.concatenate([pause(0.5), *parts, pause(0.5)]), " ".join(said)
    raise AssertionError("sentences never end")


def speech_in(audio: Waveform) -> Sequence[Span]:
    """Where the pipeline finds speech."""
    with recorded(audio, Options()) as (path, pipeline), path.open("rb") as media:
        return pipeline.prepare(media).speech[0]


def repeated(words: Sequence[str], size: int = 6) -> set[tuple[str, ...]]:
    """Runs of so many words that come more than once."""
    runs = [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]
    return {each for each in runs if runs.count(each) > 1}


# -- meetings ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare() -> Callable[[Waveform], list[str]]:
    """The words of faster-whisper's batched pipeline with the same weights."""
    model = faster_whisper.WhisperModel(
        str(WEIGHTS), device="cpu", compute_type="int8", cpu_threads=2
    )
    pipeline = faster_whisper.BatchedInferencePipeline(model)

    def heard(audio: Waveform) -> list[str]:
        segments, _ = pipeline.transcribe(audio, language="en", batch_size=8)
        return normalize("".join(segment.text for segment in segments))

    return heard


def test_wer_is_at_most_the_librarys_and_nothing_is_invented(
    hear: Hear, bare: Callable[[Waveform], list[str]]
) -> None:
    truth: list[str] = []
    ours: list[str] = []
    theirs: list[str] = []
    for seed in SEEDS:
        meeting = from_seed(seed, minutes=2.0, voices=4)
        said, found = all_words(meeting.reference), hear(meeting.audio)
        assert repeated(all_words(found)) <= repeated(said)
        _expect_times_inside(found, speech_in(meeting.audio))
        truth, ours, theirs = truth + said, ours + all_words(found), theirs + bare(meeting.audio)
    errors, library = word_errors(truth, ours), word_errors(truth, theirs)
    print(f"WER {errors.rate:.2%}, the library's {library.rate:.2%}; {errors}")
    assert errors.rate <= library.rate + 0.003
    assert errors.insertions <= 0.01 * len(truth)


def _expect_times_inside(found: Transcript, speech: Sequence[Span]) -> None:
    """Every word begins before it ends, after the one before, and inside speech."""
    for before, word in pairwise(found.words):
        assert before.end <= word.start + 1e-6
    for word in found.words:
        assert word.start < word.end
        assert any(span.start - 1e-3 <= word.start < word.end <= span.end + 1e-3 for span in speech)


def test_the_same_recording_gives_the_same_words_at_the_same_times(hear: Hear) -> None:
    audio = from_seed(SEEDS[0], minutes=1.0, voices=3).audio
    assert hear(audio).segments == hear(audio).segments


# -- windows -----------------------------------------------------------------------------------


def test_speech_without_a_pause_is_joined_without_losing_or_doubling_a_word(
    hear: Hear, bare: Callable[[Waveform], list[str]]
) -> None:
    audio, said = without_pauses(11, 100.0)
    assert max(span.duration for span in speech_in(audio)) > 60
    found = hear(audio)
    errors = word_errors(normalize(said), all_words(found))
    library = word_errors(normalize(said), bare(audio))
    print(f"100 s without a pause: WER {errors.rate:.2%}, the library's {library.rate:.2%}")
    assert errors.rate <= library.rate
    assert errors.insertions <= 0.01 * len(normalize(said))
    assert repeated(all_words(found)) <= repeated(normalize(said))
    assert found.removed == ()
    assert all(word.start < word.end for word in found.words)


@pytest.mark.parametrize("shift", [0.0, 0.37, 0.74])
def test_words_begin_where_they_are_said_wherever_the_windows_are(hear: Hear, shift: float) -> None:
    said = [
        synthesize(VOICES["rms"], text) for text, _ in zip(sentences(5), range(12), strict=False)
    ]
    audio, starts = [pause(0.5 + shift)], []
    for speech in said:
        at = sum(map(len, audio)) / SAMPLE_RATE_HZ
        starts += [at + word.start for word in speech.words]
        audio += [speech.samples, pause(0.4)]
    found = hear(np.concatenate(audio))
    distances = [min(abs(word.start - start) for start in starts) for word in found.words]
    print(f"mean distance of a word's start: {np.mean(distances):.3f} s")
    assert np.mean(distances) <= 0.12
    assert max(distances) <= 0.8


def test_ten_short_votes_keep_their_times(hear: Hear) -> None:
    audio, starts = [pause(0.5)], []
    opening = synthesize(VOICES["slt"], "We will now vote on the budget. Please answer yes or no.")
    audio += [opening.samples, pause(1.2)]
    for voice in VOICES.values():
        starts.append(sum(map(len, audio)) / SAMPLE_RATE_HZ)
        audio += [synthesize(voice, "Yes.").samples, pause(1.5)]
    found = hear(np.concatenate(audio))
    votes = [word for word in found.words if word.start > starts[0] - 0.3]
    assert len(votes) == len(VOICES), found.text
    near = [min(abs(vote.start - start) for start in starts) for vote in votes]
    assert max(near) <= 0.5
    assert all(after.start - before.start > 1.0 for before, after in pairwise(votes))


# -- channels ----------------------------------------------------------------------------------


def test_two_channels_that_talk_at_once_are_two_speakers_with_their_own_words(hear: Hear) -> None:
    said: dict[str, list[str]] = {}
    channels: list[Waveform] = []
    for start, (voice, seed) in enumerate((("slt", 21), ("rms", 22))):
        texts = [text for text, _ in zip(sentences(seed), range(4), strict=False)]
        parts = [synthesize(VOICES[voice], text).samples for text in texts]
        gaps = [pause(0.5 + start), *(pause(1.2) for _ in texts[1:])]
        channels.append(
            np.concatenate([each for pair in zip(gaps, parts, strict=True) for each in pair])
        )
        said[f"SPEAKER_{start:02d}"] = normalize(" ".join(texts))
    audio = np.zeros((max(map(len, channels)), 2), dtype=np.float32)
    for number, samples in enumerate(channels):
        audio[: len(samples), number] = samples
    found = hear(audio)
    assert found.speakers == tuple(said)
    assert {turn.speaker for turn in found.turns} == set(said)
    for speaker, words in said.items():
        own = normalize(" ".join(word.text for word in found.words if word.speaker == speaker))
        assert word_errors(words, own).rate <= 0.2, own


# -- languages ---------------------------------------------------------------------------------


def test_each_stretch_is_in_its_language(hear: Hear) -> None:
    english = [
        synthesize(VOICES["slt"], text).samples
        for text, _ in zip(sentences(3), range(14), strict=False)
    ]
    italian = synthesize(ITALIAN, ITALIAN_TALK).samples
    middle = len(english) // 2
    parts = [pause(0.5), *english[:middle], pause(0.7), italian, pause(0.7), *english[middle:]]
    low = sum(map(len, parts[: middle + 2])) / SAMPLE_RATE_HZ
    high = low + len(italian) / SAMPLE_RATE_HZ
    found = hear(np.concatenate([*parts, pause(0.5)]), language=None)
    assert set(found.languages) == {"en", "it"}
    inside = [each for each in found.segments if low < (each.start + each.end) / 2 < high]
    outside = [each for each in found.segments if each not in inside]
    assert {each.language for each in inside} == {"it"}
    assert {each.language for each in outside} == {"en"}
    assert "bilancio" in normalize(" ".join(each.text for each in inside))
    assert "language_not_allowed" not in [warning.code for warning in found.warnings]


def test_a_detected_language_that_is_not_allowed_is_a_warning(hear: Hear) -> None:
    italian = np.concatenate([pause(0.5), synthesize(ITALIAN, ITALIAN_TALK).samples, pause(0.5)])
    found = hear(italian, language=None, languages=("en", "de"))
    assert set(found.languages) <= {"en", "de"}
    assert "language_not_allowed" in [warning.code for warning in found.warnings]


# -- what goes before, and what is no speech ---------------------------------------------------


def test_too_long_hotwords_and_prompt_are_cut_with_a_warning(hear: Hear) -> None:
    audio = from_seed(SEEDS[1], minutes=0.3, voices=2).audio
    found = hear(
        audio,
        hotwords=tuple(f"Zarquon{number}" for number in range(150)),
        initial_prompt="Minutes of the board of the company. " * 60,
    )
    assert "prompt_cut" in [warning.code for warning in found.warnings]
    assert len(found.words) > 20


@pytest.mark.parametrize("name", SOUNDS)
def test_ten_minutes_without_speech_have_no_words(name: str, hear: Hear) -> None:
    assert hear(sound(name, 600.0)).text == ""


@pytest.mark.parametrize("name", SOUNDS)
def test_noise_taken_for_speech_has_no_words(name: str, recognizer: Recognizer) -> None:
    """As if the detector had taken most of it for speech."""
    speech = [Span(at + 0.5, at + 9.0) for at in range(0, 60, 10)]
    found = list(
        recognizer.recognize(sound(name, 61.0), speech, Options(language="en"), ignore_progress)
    )
    assert [each.text for each in found if isinstance(each, Segment)] == []
    assert {each.reason for each in found if isinstance(each, Removed)} <= {"hallucination"}
