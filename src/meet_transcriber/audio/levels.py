"""Measures the loudness of speech and the peaks of the waveform."""

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.media import PEAKS_PER_SECOND, Peaks
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

TARGET_DBFS = -24.0
"""Target RMS level of the loud blocks of every channel."""

_BLOCK = 6400  # 0.4 s at 16 kHz, the gating block of EBU R128
_RELATIVE_GATE_DB = 10.0  # EBU R128: blocks this far below the ungated mean do not count
_FLOOR_DBFS = -85.0  # below, 16-bit samples are rounding noise
_STEP_DB = 0.1
_BINS = 1000
_MAX_GAIN_DB = 50.0
_MIN_GAIN_DB = -12.0


class LoudnessMeter:
    """
    Measures the gated level of each channel while streaming, in constant memory.

    The gating follows EBU R128 (blocks of 0.4 s, relative gate) without its K-weighting, so long
    silence between words does not affect the result. R128's absolute gate would treat a recording
    attenuated by 30 dB differently, so the absolute gate is the noise floor of 16-bit samples.
    """

    def __init__(self, channels: int) -> None:
        self._histogram = np.zeros((channels, _BINS), dtype=np.int64)
        self._rest = np.zeros((channels, 0), dtype=np.float32)

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Add a block (channels, samples)."""
        block = np.concatenate([self._rest, block], axis=1)
        count = block.shape[1] // _BLOCK
        self._rest = block[:, count * _BLOCK :]
        if count:
            shaped = block[:, : count * _BLOCK].reshape(len(block), count, _BLOCK)
            self._count(np.mean(np.square(shaped, dtype=np.float64), axis=2))

    def _count(self, power: npt.NDArray[np.float64]) -> None:
        level = 10 * np.log10(np.maximum(power, 1e-12))
        bins = np.clip(((level - _FLOOR_DBFS) / _STEP_DB).astype(int), -1, _BINS - 1)
        for channel, own in enumerate(bins):
            np.add.at(self._histogram[channel], own[own >= 0], 1)

    def levels_dbfs(self) -> tuple[float | None, ...]:
        """Return the gated level of each channel; None for silence."""
        if self._rest.shape[1] and not self._histogram.any():
            self._count(np.mean(np.square(self._rest, dtype=np.float64), axis=1, keepdims=True))
        return tuple(_gated_level(histogram) for histogram in self._histogram)

    def gains_db(self) -> tuple[float, ...]:
        """Return the gain of each channel that brings its speech to the target level."""
        return tuple(_gain(level) for level in self.levels_dbfs())


def _gain(level: float | None) -> float:
    if level is None:
        return 0.0
    return float(np.clip(TARGET_DBFS - level, _MIN_GAIN_DB, _MAX_GAIN_DB))


def _gated_level(histogram: npt.NDArray[np.int64]) -> float | None:
    if not histogram.any():
        return None
    centres = _FLOOR_DBFS + (np.arange(_BINS) + 0.5) * _STEP_DB
    power = 10 ** (centres / 10)
    ungated = 10 * np.log10(np.sum(histogram * power) / histogram.sum())
    gated = np.where(centres >= ungated - _RELATIVE_GATE_DB, histogram, 0)
    return float(10 * np.log10(np.sum(gated * power) / gated.sum()))


_STEP = SAMPLE_RATE_HZ // PEAKS_PER_SECOND


class PeakMeter:
    """Collects the lowest and highest sample per step while streaming, two bytes per step."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, dtype=np.float32)
        self._data = bytearray()

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Add a block (channels, samples); all channels share one outline."""
        low, high = block.min(axis=0), block.max(axis=0)
        extreme = np.where(-low > high, low, high)
        mono = np.concatenate([self._rest, extreme])
        count = len(mono) // _STEP
        self._rest = mono[count * _STEP :]
        self._store(mono[: count * _STEP].reshape(count, _STEP))

    def peaks(self) -> Peaks:
        """Return the peaks of everything added so far, including a partial step."""
        if len(self._rest):
            self._store(self._rest[np.newaxis])
            self._rest = self._rest[:0]
        return Peaks(PEAKS_PER_SECOND, bytes(self._data))

    def _store(self, steps: npt.NDArray[np.float32]) -> None:
        if len(steps):
            pairs = np.stack([steps.min(axis=1), steps.max(axis=1)], axis=1)
            self._data += np.clip(np.round(pairs * 127), -127, 127).astype(np.int8).tobytes()
