"""Sounds without speech, made from random numbers and sines."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, lfilter

from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

Samples = npt.NDArray[np.float64]

_SCALE = (261.6, 293.7, 329.6, 349.2, 392.0, 440.0, 493.9, 523.3)  # C major, in hertz
_BEAT = round(0.4 * SAMPLE_RATE_HZ)


def silence(_chance: np.random.Generator, count: int) -> Samples:
    return np.zeros(count)


def white_noise(chance: np.random.Generator, count: int) -> Samples:
    return chance.normal(0, 0.05, count)


def low_noise(chance: np.random.Generator, count: int) -> Samples:
    """Return noise of a fan: louder at low frequencies, without inaudible ones."""
    drift = np.cumsum(chance.normal(0, 1, count))
    drift -= lfilter(np.ones(4000) / 4000, [1], drift)
    return np.asarray(drift / np.abs(drift).max() * 0.3)


def hum(chance: np.random.Generator, count: int) -> Samples:
    """Return mains hum at 50 Hz."""
    seconds = np.arange(count) / SAMPLE_RATE_HZ
    tones = (0.1 / k * np.sin(2 * np.pi * 50 * k * seconds + k) for k in range(1, 8))
    return np.asarray(sum(tones) + chance.normal(0, 0.002, count))


def hold_music(chance: np.random.Generator, count: int) -> Samples:
    """Return a melody of plucked notes over slow chords."""
    music = np.zeros(count)
    for at in range(0, count, _BEAT):
        _add(music, at, _note(chance.choice(_SCALE), 2 * _BEAT, 3.0, 1.5) * 0.15)
        if at // _BEAT % 4 == 0:
            root = chance.choice(_SCALE[:4]) / 2
            for ratio in (1.0, 1.25, 1.5):
                _add(music, at, _note(root * ratio, 4 * _BEAT, 0.6, 1.0) * 0.05)
    return music


def keyboard(chance: np.random.Generator, count: int) -> Samples:
    """Return bursts of keystrokes."""
    clicks = chance.normal(0, 0.0008, count)
    at = 0
    while (at := at + _until_next_key(chance)) < count:
        length = int(chance.integers(300, 1200))
        fading = np.exp(-np.arange(length) / chance.uniform(40, 200))
        _add(clicks, at, chance.normal(0, 1, length) * fading * chance.uniform(0.05, 0.4))
    return _band(clicks, 300, 6000) + chance.normal(0, 0.0005, count)


def breathing(chance: np.random.Generator, count: int) -> Samples:
    """Return breathing close to the microphone, every four seconds."""
    phase = (np.arange(count) / SAMPLE_RATE_HZ % 4) / 4
    drawn = np.where(phase < 0.35, np.sin(np.pi * phase / 0.35), 0)
    out = (phase > 0.45) & (phase < 0.9)
    blown = np.where(out, 0.7 * np.sin(np.pi * (phase - 0.45) / 0.45), 0)
    air = _band(chance.normal(0, 1, count), 300, 2500)
    return np.asarray(air * (drawn + blown) ** 2 * 0.12 + chance.normal(0, 0.001, count))


SOUNDS: dict[str, Callable[[np.random.Generator, int], Samples]] = {
    maker.__name__: maker
    for maker in (silence, white_noise, low_noise, hum, hold_music, keyboard, breathing)
}


def sound(name: str, seconds: float) -> Waveform:
    """(samples,) float32 at 16 kHz; the same samples every time."""
    made = SOUNDS[name](np.random.default_rng(5), round(seconds * SAMPLE_RATE_HZ))
    return np.clip(made, -1, 1).astype(np.float32)


def _until_next_key(chance: np.random.Generator) -> int:
    pause = chance.uniform(0.5, 3) if chance.random() < 0.33 else chance.uniform(0.06, 0.25)
    return round(SAMPLE_RATE_HZ * pause)


def _note(hertz: float, count: int, fading: float, mellow: float) -> Samples:
    seconds = np.arange(count) / SAMPLE_RATE_HZ
    tones = (np.sin(2 * np.pi * hertz * h * seconds) / h**mellow for h in range(1, 6))
    return np.asarray(sum(tones) * np.exp(-seconds * fading))


def _add(samples: Samples, at: int, more: Samples) -> None:
    samples[at : at + len(more)] += more[: len(samples) - at]


def _band(samples: Samples, low: float, high: float) -> Samples:
    b, a = butter(2, [low / (SAMPLE_RATE_HZ / 2), high / (SAMPLE_RATE_HZ / 2)], "band")
    filtered: Samples = lfilter(b, a, samples)
    return filtered
