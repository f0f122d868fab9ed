"""The outline of a waveform, for drawing."""

import numpy as np
import numpy.typing as npt

from meet_transcriber.audio.bounds import PEAKS_PER_SECOND
from meet_transcriber.core.media import Peaks
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

_STEP = SAMPLE_RATE_HZ // PEAKS_PER_SECOND


class PeakMeter:
    """Lowest and highest sample per step, streaming; two bytes a step are kept."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, dtype=np.float32)
        self._data = bytearray()

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Take in (channels, samples); the channels share one outline."""
        low, high = block.min(axis=0), block.max(axis=0)
        extreme = np.where(-low > high, low, high)
        mono = np.concatenate([self._rest, extreme])
        count = len(mono) // _STEP
        self._rest = mono[count * _STEP :]
        self._store(mono[: count * _STEP].reshape(count, _STEP))

    def peaks(self) -> Peaks:
        """The outline of everything taken in so far, an unfinished step included."""
        if len(self._rest):
            self._store(self._rest[np.newaxis])
            self._rest = self._rest[:0]
        return Peaks(PEAKS_PER_SECOND, bytes(self._data))

    def _store(self, steps: npt.NDArray[np.float32]) -> None:
        if len(steps):
            pairs = np.stack([steps.min(axis=1), steps.max(axis=1)], axis=1)
            self._data += np.clip(np.round(pairs * 127), -127, 127).astype(np.int8).tobytes()
