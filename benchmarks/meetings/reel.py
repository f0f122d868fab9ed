"""Sounds on disk, so that hours of audio need no memory."""

import tempfile
import weakref
from dataclasses import dataclass
from typing import IO

import numpy as np

from meet_transcriber.ports.engines import Waveform


class Reel:
    """A temporary file of sounds, deleted with its last sound."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - outlives this frame
        weakref.finalize(self, self._file.close)

    def keep(self, samples: Waveform) -> "Sound":
        """Append float32 samples."""
        offset = self._file.seek(0, 2)
        self._file.write(samples.tobytes())
        return Sound(self, offset, len(samples))

    def load(self, offset: int, count: int) -> Waveform:
        """(count,) float32 from an offset in bytes."""
        self._file.seek(offset)
        return np.frombuffer(self._file.read(count * 4), dtype=np.float32)


@dataclass(frozen=True)
class Sound:
    """`count` samples at a place of a reel."""

    reel: Reel
    offset: int
    count: int

    def load(self) -> Waveform:
        """(count,) float32, as they were kept."""
        return self.reel.load(self.offset, self.count)
