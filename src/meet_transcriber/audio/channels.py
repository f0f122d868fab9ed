"""Whether the channels of a recording are one speaker each or one room."""

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.options import ChannelMode

MAX_SPLIT = 8
"""FLAC holds no more channels than this."""

_BLOCK = 1600  # 0.1 s at 16 kHz
_DEAD_DB = 40.0  # this far below the loudest a channel holds no speech
_ACTIVE_DB = 15.0  # this far below a channel's loud blocks somebody still speaks in it
_DOMINANT_DB = 10.0
_LOUD_PERCENT = 90
_MIN_DOMINANT_SHARE = 0.75
_MIN_OWN_SHARE = 0.05
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
        levels = np.concatenate(self._levels, axis=1)[alive]
        loud = np.percentile(levels, _LOUD_PERCENT, axis=1, keepdims=True)
        relative = levels - loud
        busy = relative.max(axis=0) > -_ACTIVE_DB
        if busy.sum() < _MIN_BLOCKS:
            return False
        ordered = np.sort(relative[:, busy], axis=0)
        dominant = ordered[-1] - ordered[-2] > _DOMINANT_DB
        owners = np.argmax(relative[:, busy], axis=0)[dominant]
        shares = np.bincount(owners, minlength=len(alive)) / busy.sum()
        return bool(dominant.mean() >= _MIN_DOMINANT_SHARE and shares.min() >= _MIN_OWN_SHARE)

    def _correlation(self, one: int, other: int) -> float:
        scale = np.sqrt(self._products[one, one] * self._products[other, other])
        return float(self._products[one, other] / scale) if scale else 0.0


def kept_channels(statistics: ChannelStatistics, mode: ChannelMode) -> list[int] | None:
    """The channels to keep apart, None to fold them into one."""
    alive = statistics.alive()
    if mode == "split":
        return alive[:MAX_SPLIT] if len(alive) > 1 else None
    return alive if mode == "auto" and statistics.independent() else None
