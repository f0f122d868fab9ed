"""Measures loudness, the peaks of the waveform, and which channels have speech of their own."""

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.media import MAX_SPLIT, PEAKS_PER_SECOND, Peaks
from meet_transcriber.core.options import ChannelMode
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

TARGET_DBFS = -24.0  # target RMS level of the loud blocks of every channel

_BLOCK = 6400  # 0.4 s at 16 kHz, the gating block of EBU R128
_RELATIVE_GATE_DB = 10.0  # EBU R128: blocks this far below the ungated mean do not count
_FLOOR_DBFS = -85.0  # below, 16-bit samples are rounding noise
_STEP_DB = 0.1
_BINS = 1000
_GAINS_DB = (-12.0, 50.0)  # lowest and highest


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
        return tuple(
            0.0 if level is None else float(np.clip(TARGET_DBFS - level, *_GAINS_DB))
            for level in self.levels_dbfs()
        )


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


_LEVEL_BLOCK = 1600  # 0.1 s at 16 kHz
_DEAD_DB = 40.0  # a channel this far below the loudest has no speech
_ACTIVE_DB = 15.0  # a block less far below the channel's loud blocks has speech
_DOMINANT_DB = 10.0
_SILENT_DB = 30.0  # a block this far below the channel's loud blocks has no crosstalk
_GATE_DB = 10.0
_MIN_RANGE_DB = 10.0  # speech has pauses
_MIN_DOMINANT_SHARE = 0.75
_MIN_OWN_SHARE = 0.02
_MIN_APART_SHARE = 0.25
_MAX_CORRELATION = 0.5
_INVERTED = -0.5
_MIN_BLOCKS = 20


class ChannelStatistics:
    """Levels per tenth of a second and correlations of channels, computed while streaming."""

    def __init__(self, channels: int) -> None:
        self._rest = np.zeros((channels, 0), dtype=np.float32)
        self._levels: list[npt.NDArray[np.float32]] = []
        self._products = np.zeros((channels, channels))

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Add a block (channels, samples)."""
        block = np.concatenate([self._rest, block], axis=1)
        count = block.shape[1] // _LEVEL_BLOCK
        whole, self._rest = block[:, : count * _LEVEL_BLOCK], block[:, count * _LEVEL_BLOCK :]
        if count:
            self._products += whole.astype(np.float64) @ whole.T.astype(np.float64)
            power = np.mean(np.square(whole.reshape(len(whole), count, _LEVEL_BLOCK)), axis=2)
            self._levels.append((10 * np.log10(np.maximum(power, 1e-10))).astype(np.float32))

    def active_channels(self) -> list[int]:
        """Return the channels with more than the noise of an unused input."""
        energy = np.diag(self._products)
        active = np.flatnonzero(energy > energy.max() * 10 ** (-_DEAD_DB / 10))
        return active.tolist() or [0]

    def mix_weights(self) -> npt.NDArray[np.float32]:
        """Return weights (channels,): 0 for unused channels, negative for inverted ones."""
        active = self.active_channels()
        loudest = max(active, key=lambda index: self._products[index, index])
        weights = np.zeros(len(self._products), dtype=np.float32)
        for index in active:
            inverted = self._correlation(loudest, index) < _INVERTED
            weights[index] = (-1.0 if inverted else 1.0) / len(active)
        return weights

    def are_independent(self) -> bool:
        """Return whether each active channel has its own speaker and little crosstalk."""
        active = self.active_channels()
        if not 1 < len(active) <= MAX_SPLIT or not self._levels:
            return False
        if any(
            abs(self._correlation(one, other)) > _MAX_CORRELATION
            for one in active
            for other in active
            if one < other
        ):
            return False
        levels = np.concatenate(self._levels, axis=1)[active]
        power = 10.0 ** (levels / 10)
        gate = power.mean(axis=1, keepdims=True) * 10 ** (-_GATE_DB / 10)
        loud = np.where(power >= gate, power, 0).sum(axis=1) / (power >= gate).sum(axis=1)
        # in dB relative to the loud blocks of the channel, however rare
        relative: npt.NDArray[np.float32] = levels - 10 * np.log10(loud)[:, np.newaxis]
        if np.percentile(relative, 10, axis=1).max() > -_MIN_RANGE_DB:
            return False  # constant noise is not speech
        relative = relative[:, relative.max(axis=0) > -_ACTIVE_DB]
        if relative.shape[1] < _MIN_BLOCKS:
            return False
        return _alternate(relative) or _are_separate_lines(relative)

    def _correlation(self, one: int, other: int) -> float:
        scale = np.sqrt(self._products[one, one] * self._products[other, other])
        return float(self._products[one, other] / scale) if scale else 0.0


def _alternate(relative: npt.NDArray[np.float32]) -> bool:
    """Return whether nearly always one channel dominates, and each does at times."""
    ordered = np.sort(relative, axis=0)
    dominant = ordered[-1] - ordered[-2] > _DOMINANT_DB
    owners = np.argmax(relative, axis=0)[dominant]
    shares = np.bincount(owners, minlength=len(relative)) / relative.shape[1]
    return bool(dominant.mean() >= _MIN_DOMINANT_SHARE and shares.min() >= _MIN_OWN_SHARE)


def _are_separate_lines(relative: npt.NDArray[np.float32]) -> bool:
    """
    Return whether of any two channels one is often silent while the other is active.

    True for people who talk over each other on separate lines; a second microphone in the same
    room would pick up both.
    """
    active, silent = relative > -_ACTIVE_DB, relative < -_SILENT_DB
    apart = (silent[:, np.newaxis] & active[np.newaxis]).mean(axis=2)
    either = np.maximum(apart, apart.T)
    np.fill_diagonal(either, 1.0)
    return bool(either.min() >= _MIN_APART_SHARE and active.mean(axis=1).min() >= _MIN_OWN_SHARE)


def select_channels(statistics: ChannelStatistics, mode: ChannelMode) -> list[int] | None:
    """Return the channels to keep separate; None to mix them into one."""
    active = statistics.active_channels()
    if mode == "split":
        return active[:MAX_SPLIT] if len(active) > 1 else None
    return active if mode == "auto" and statistics.are_independent() else None
