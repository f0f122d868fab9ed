"""Log mel filter banks as Kaldi computes them, which embedding networks are trained on."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HOP_SAMPLES = 160
"""10 ms between frames."""
FRAME_SAMPLES = 400
"""25 ms that a frame sees."""

_RATE_HZ = 16_000
_FFT = 512
_BLOCK_FRAMES = 400  # at a time: spectra take 12 kB a frame
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_SMALLEST = np.float32(np.finfo(np.float32).eps)


def fbank(audio: Array, mels: int = 80, window: str = "povey", scale: float = 1.0) -> Array:
    """
    Return (frames, mels) float32, frames of 25 ms every 10 ms, as kaldi's compute-fbank-feats.

    Without dither and without energy; natural logarithms; (samples - 400) // 160 + 1 frames.

    Args:
        audio: (samples,) float32 in [-1, 1], mono, 16 kHz.
        window: "povey" or "hamming".
        scale: samples are multiplied by it, since energies end at a floor; networks differ in
            whether they were trained on samples in [-1, 1] or on integers of 16 bits.
    """
    if len(audio) < FRAME_SAMPLES:
        return np.zeros((0, mels), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME_SAMPLES)[::HOP_SAMPLES]
    blocks = [frames[at : at + _BLOCK_FRAMES] for at in range(0, len(frames), _BLOCK_FRAMES)]
    power = np.concatenate([_power(block, window, scale) @ _mel_filters(mels) for block in blocks])
    energies: Array = np.log(np.maximum(power, _SMALLEST))
    return energies


def _power(frames: Array, window: str, scale: float) -> Array:
    """(frames, 257) of the spectrum."""
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.float32(scale)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - np.float32(_PREEMPHASIS) * before) * _window(window)
    spectrum = np.fft.rfft(frames, _FFT, axis=1)
    power: Array = np.square(spectrum.real) + np.square(spectrum.imag)
    return power


@cache
def _window(name: str) -> Array:
    phase = 2 * np.pi * np.arange(FRAME_SAMPLES) / (FRAME_SAMPLES - 1)
    if name == "hamming":
        return (0.54 - 0.46 * np.cos(phase)).astype(np.float32)
    return ((0.5 - 0.5 * np.cos(phase)) ** 0.85).astype(np.float32)


@cache
def _mel_filters(mels: int) -> Array:
    """(257, mels): triangles between edges that are evenly apart in mel."""
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(_RATE_HZ / 2), mels + 2)
    bins = _mel(np.arange(_FFT // 2 + 1) * _RATE_HZ / _FFT)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters: Array = np.maximum(np.minimum(rising, falling), 0).astype(np.float32)
    filters[-1] = 0  # Kaldi leaves out the highest bin
    return filters


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)
