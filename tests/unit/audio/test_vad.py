"""Noise, hum and tones are no speech; the model is checked when loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meet_transcriber.audio.vad import SileroDetector, load_model
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.transcript import total_seconds

Make = Callable[..., Any]
SECONDS = 40


def pink(noise: np.random.Generator, count: int) -> Any:
    spectrum = np.fft.rfft(noise.normal(0, 1, count))
    return np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), count)


def no_speech(kind: str) -> Any:
    count = SECONDS * 16_000
    noise, time = np.random.default_rng(17), np.arange(count) / 16_000
    if kind == "white":
        return noise.normal(0, 0.05, count)
    if kind == "pink":
        return 0.1 * pink(noise, count) / np.abs(pink(noise, count)).max()
    if kind == "hum":
        return 0.1 * sum(np.sin(2 * np.pi * 50 * n * time) / n for n in (1, 2, 3, 5))
    if kind == "rounding":
        return noise.integers(-1, 2, count) / 32768
    if kind == "music":
        steps = np.array([262, 330, 392, 523, 440, 349])[(time * 2).astype(int) % 6]
        fading = np.exp(-3 * (time * 2 % 1))
        return 0.2 * fading * sum(np.sin(2 * np.pi * steps * n * time) / n for n in (1, 2, 3))
    return np.zeros(count)


@pytest.mark.parametrize("kind", ["silence", "rounding", "white", "pink", "hum", "music"])
def test_hardly_any_speech_is_found_where_nobody_speaks(
    kind: str, write_wav: Make, prepare: Make
) -> None:
    _, _, audio = prepare(write_wav(no_speech(kind).astype(np.float32)))
    spans = SileroDetector().detect(audio, 0, lambda _: None)
    assert total_seconds(spans) <= 0.02 * SECONDS


def test_an_empty_recording_holds_no_speech(write_wav: Make, prepare: Make) -> None:
    _, _, audio = prepare(write_wav(np.zeros(1, np.float32)))
    assert SileroDetector().detect(audio, 0, lambda _: None) == ()


def test_progress_reaches_the_end(write_wav: Make, prepare: Make, tone: Make) -> None:
    shares: list[float] = []
    _, _, audio = prepare(write_wav(tone(70.0)))
    SileroDetector().detect(audio, 0, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_damaged_model_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "silero_vad_v6.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(EngineUnavailable, match="force-reinstall"):
        load_model(path)
