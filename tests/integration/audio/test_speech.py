"""Speech detection on the committed meeting: found at any level, in any container."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.detection import detection_errors
from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.vad import SileroDetector
from meet_transcriber.audio.working_audio import FlacWriter
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span

DATA = Path(__file__).parents[2] / "data"
MEETING = DATA / "budget.ogg"


def meeting(decibels: float = 0.0, noise_rms: float = 0.0) -> io.BytesIO:
    """The meeting as FLAC, attenuated, with white noise over it."""
    file, noise = io.BytesIO(), np.random.default_rng(1)
    with av.open(MEETING) as container:
        resampler = av.AudioResampler("fltp", "mono", 16_000)
        frames = container.decode(audio=0)
        pieces = [piece.to_ndarray() for frame in frames for piece in resampler.resample(frame)]
    samples = np.concatenate(pieces, axis=1).astype(np.float32) * 10 ** (decibels / 20)
    writer = FlacWriter(file, 1)
    writer.write((samples + noise.normal(0, noise_rms or 1e-9, samples.shape)).astype(np.float32))
    writer.close()
    file.seek(0)
    return file


def speech(media: io.BytesIO) -> tuple[tuple[Span, ...], float]:
    decoder, working = PyavDecoder(), io.BytesIO()
    prepared, _ = decoder.prepare(media, working, Options(), lambda _: None)
    audio = decoder.open(working, prepared)
    return SileroDetector().detect(audio, 0, lambda _: None), audio.duration


@pytest.fixture(scope="module")
def found() -> tuple[tuple[Span, ...], float]:
    return speech(meeting())


def reference() -> list[Span]:
    segments = json.loads((DATA / "budget.json").read_text())["segments"]
    words = [word for segment in segments for word in segment["words"]]
    return [Span(word["start"], word["end"]) for word in words]


def test_nearly_all_words_lie_in_detected_speech(found: tuple[tuple[Span, ...], float]) -> None:
    errors = detection_errors(reference(), *found)
    assert errors.detected_share >= 0.95


@pytest.mark.parametrize("decibels", [-30, -15])
def test_attenuation_does_not_change_the_spans(
    decibels: float, found: tuple[tuple[Span, ...], float]
) -> None:
    quiet, duration = speech(meeting(decibels))
    errors = detection_errors(found[0], quiet, duration)
    assert errors.detected_share >= 0.99
    assert errors.false_alarm_share <= 0.02


def test_speech_is_found_in_noise() -> None:
    errors = detection_errors(reference(), *speech(meeting(noise_rms=0.01)))
    assert errors.detected_share >= 0.85
