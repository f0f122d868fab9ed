"""Whether the channels of a recording are one speaker each or one room."""

import numpy as np
import numpy.typing as npt

from meet_transcriber.audio.bounds import MAX_SPLIT
from meet_transcriber.core.options import ChannelMode

_BLOCK = 1600  # 0.1 s at 16 kHz
_DEAD_DB = 40.0  # this far below the loudest a channel holds no speech
_ACTIVE_DB = 15.0  # this far below a channel's loud blocks somebody still speaks in it
_DOMINANT_DB = 10.0
_SILENT_DB = 30.0  # this far below its loud blocks a channel does not hear the others
_GATE_DB = 10.0
_MIN_RANGE_DB = 10.0  # speech has pauses
_MIN_DOMINANT_SHARE = 0.75
_MIN_OWN_SHARE = 0.02
_MIN_APART_SHARE = 0.25
_MAX_CORRELATION = 0.5
_INVERTED = -0.5
_MIN_BLOCKS = 20


class ChannelStatistics:
    """Energies per tenth of a second and correlation with the first channel, streaming."""

    def __init__(self, channels: int) -> None:
        self._rest = np.zeros((channels, 0), dtype=np.float32)
        self._levels: list[npt.NDArray[np.float32]] = []
        self._products = np.zeros((channels, channels))

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Take in (channels, samples)."""
        block = np.concatenate([self._rest, block], axis=1)
        count = block.shape[1] // _BLOCK
        whole, self._rest = block[:, : count * _BLOCK], block[:, count * _BLOCK :]
        if count:
            self._products += whole.astype(np.float64) @ whole.T.astype(np.float64)
            power = np.mean(np.square(whole.reshape(len(whole), count, _BLOCK)), axis=2)
            self._levels.append((10 * np.log10(np.maximum(power, 1e-10))).astype(np.float32))

    def alive(self) -> list[int]:
        """Channels that hold more than the noise of an unused input."""
        energy = np.diag(self._products)
        if not energy.any():
            return [0]
        return [
            index for index, own in enumerate(energy) if own > energy.max() * 10 ** (-_DEAD_DB / 10)
        ]

    def fold_weights(self) -> npt.NDArray[np.float32]:
        """Weights (channels,) of the mix: dead channels left out, inverted ones turned."""
        alive = self.alive()
        loudest = max(alive, key=lambda index: self._products[index, index])
        weights = np.zeros(len(self._products), dtype=np.float32)
        for index in alive:
            inverted = self._correlation(loudest, index) < _INVERTED
            weights[index] = (-1.0 if inverted else 1.0) / len(alive)
        return weights

    def independent(self) -> bool:
        """Whether each live channel carries its own speaker and hardly the others'."""
        alive = self.alive()
        if not 1 < len(alive) <= MAX_SPLIT or not self._levels:
            return False
        if any(
            abs(self._correlation(one, other)) > _MAX_CORRELATION
            for one in alive
            for other in alive
            if one < other
        ):
            return False
        relative = _relative_levels(np.concatenate(self._levels, axis=1)[alive])
        if np.percentile(relative, 10, axis=1).max() > -_MIN_RANGE_DB:
            return False  # an even noise is nobody's voice
        relative = relative[:, relative.max(axis=0) > -_ACTIVE_DB]
        if relative.shape[1] < _MIN_BLOCKS:
            return False
        return _take_turns(relative) or _keep_silent_apart(relative)

    def _correlation(self, one: int, other: int) -> float:
        scale = np.sqrt(self._products[one, one] * self._products[other, other])
        return float(self._products[one, other] / scale) if scale else 0.0


def _relative_levels(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Levels in dB against the loud blocks of the channel, however rare they are."""
    power = 10.0 ** (levels / 10)
    gate = power.mean(axis=1, keepdims=True) * 10 ** (-_GATE_DB / 10)
    loud = np.where(power >= gate, power, 0).sum(axis=1) / (power >= gate).sum(axis=1)
    relative: npt.NDArray[np.float32] = levels - 10 * np.log10(loud)[:, np.newaxis]
    return relative


def _take_turns(relative: npt.NDArray[np.float32]) -> bool:
    """Whether nearly always one channel stands out, and each does at times."""
    ordered = np.sort(relative, axis=0)
    dominant = ordered[-1] - ordered[-2] > _DOMINANT_DB
    owners = np.argmax(relative, axis=0)[dominant]
    shares = np.bincount(owners, minlength=len(relative)) / relative.shape[1]
    return bool(dominant.mean() >= _MIN_DOMINANT_SHARE and shares.min() >= _MIN_OWN_SHARE)


def _keep_silent_apart(relative: npt.NDArray[np.float32]) -> bool:
    """
    Whether of any two channels one is often wholly silent while the other is active.

    Holds for people who talk over each other on lines of their own; a second microphone in
    the same room would hear them.
    """
    active, silent = relative > -_ACTIVE_DB, relative < -_SILENT_DB
    apart = (silent[:, np.newaxis] & active[np.newaxis]).mean(axis=2)
    either = np.maximum(apart, apart.T)
    np.fill_diagonal(either, 1.0)
    return bool(either.min() >= _MIN_APART_SHARE and active.mean(axis=1).min() >= _MIN_OWN_SHARE)


def kept_channels(statistics: ChannelStatistics, mode: ChannelMode) -> list[int] | None:
    """The channels to keep apart, None to fold them into one."""
    alive = statistics.alive()
    if mode == "split":
        return alive[:MAX_SPLIT] if len(alive) > 1 else None
    return alive if mode == "auto" and statistics.independent() else None
