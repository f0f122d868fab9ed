"""
Voices of arithmetic: pulses through the resonances of vowels, and hiss between them.

Made of integers from a seed and rounded to 16 bits, so that every machine hears the same.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

_VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
_BANDWIDTHS_HZ = (80, 100, 140)


def voice(seed: int, seconds: float, pitch_hz: float, size: float = 1.0) -> Waveform:
    """
    Somebody who says vowels and hisses, four a second, and pauses now and then.

    Args:
        pitch_hz: the middle of the melody.
        size: of the throat; above 1 resonances are lower.
    """
    chance = np.random.RandomState(seed)
    parts: list[npt.NDArray[Any]] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE_HZ:
        length = int(SAMPLE_RATE_HZ * chance.uniform(0.15, 0.3))
        kind = chance.choice(["vowel", "vowel", "vowel", "hiss", "pause"])
        loud = np.hanning(length) ** 0.5
        if kind == "vowel":
            parts.append(loud * _vowel(chance, length, pitch_hz, size))
        else:
            noise = np.diff(chance.uniform(-1, 1, length + 1))
            parts.append(loud * noise * (0.1 if kind == "hiss" else 0.001))
    return rounded(np.concatenate(parts)[: round(seconds * SAMPLE_RATE_HZ)])


def _vowel(
    chance: np.random.RandomState, length: int, pitch_hz: float, size: float
) -> npt.NDArray[Any]:
    rise, fall = chance.uniform(0.85, 1.2, 2)
    melody = pitch_hz * np.linspace(rise, fall, length)
    melody *= 1 + 0.01 * chance.uniform(-1, 1)
    phase = np.cumsum(melody) / SAMPLE_RATE_HZ
    sound = np.diff(np.floor(phase), prepend=0.0) + 0.02 * chance.uniform(-1, 1, length)
    formants = _VOWELS_HZ[chance.randint(len(_VOWELS_HZ))]
    for hertz, bandwidth in zip(formants, _BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE_HZ)
        angle = 2 * np.pi * hertz / size / SAMPLE_RATE_HZ
        sound = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], sound)
    scaled: npt.NDArray[Any] = 0.4 * sound / np.abs(sound).max()
    return scaled


def hiss(seed: int, seconds: float, level: float = 0.01) -> Waveform:
    """White noise that nobody makes."""
    chance = np.random.RandomState(seed)
    return rounded(chance.uniform(-level, level, round(seconds * SAMPLE_RATE_HZ)))


def conversation(seed: int, seconds: float = 30.0) -> Waveform:
    """A low and a high voice by turns, with a pause, some overlap and noise below."""
    chance = np.random.RandomState(seed)
    sound = chance.uniform(-0.002, 0.002, round(seconds * SAMPLE_RATE_HZ))
    at, turn = 0.5, 0
    while at < seconds - 0.5:
        length = min(chance.uniform(1.5, 4.5), seconds - at)
        kind = ((110.0, 1.1), (210.0, 0.9))[turn % 2]
        said = voice(seed * 1000 + turn, length, *kind)
        start = round(at * SAMPLE_RATE_HZ)
        said = said[: len(sound) - start]
        sound[start : start + len(said)] += said
        at += length + chance.uniform(-0.8, 0.6)
        turn += 1
    return rounded(sound)


def rounded(sound: npt.NDArray[Any]) -> Waveform:
    """What 16 bits keep of it."""
    whole = np.rint(np.clip(sound, -1, 1) * 32767)
    return np.asarray(whole / 32768, np.float32)


def filter_bank_sound() -> Waveform:
    """What tests/golden/speakers/filter_banks.npz was computed from: 0.23 s."""
    return np.concatenate([voice(5, 0.12, 140.0), hiss(6, 0.06), np.zeros(800, np.float32)])


def network_windows() -> Waveform:
    """What the scores in networks.npz were computed from: (9, 160000), 10 s each."""
    return np.concatenate([conversation(seed) for seed in range(3)]).reshape(9, -1)


def network_chunks() -> Waveform:
    """What the embeddings in networks.npz were computed from: (4, 64000), 4 s each."""
    low, high = voice(11, 4.0, 110.0, 1.1), voice(12, 4.0, 210.0, 0.9)
    return np.stack([low, high, conversation(13, 4.0), hiss(14, 4.0)])
