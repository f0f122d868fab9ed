"""Results of pyannote.audio's classes on thirty windows (scripts.make_stepwise_goldens)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.pyannote_clustering import Plda
from meet_transcriber.engines.onnx.speaker_segmentation import FRAME_SECONDS, WINDOW_SECONDS

Array = npt.NDArray[Any]
Bounds = tuple[int | None, int | None]

FILE = Path(__file__).parents[3] / "golden" / "speakers" / "stepwise.npz"
HINTS: dict[str, Bounds] = {
    "free": (None, None),
    "two": (2, 2),
    "five": (5, 5),
    "one_at_most": (None, 1),
    "four_at_least": (4, None),
}


def frame_count(last_start: float) -> int:
    """Return pyannote.audio's number of frames for a last window that starts at `last_start`."""
    return round((WINDOW_SECONDS + last_start) / FRAME_SECONDS) + 1


class Golden:
    """Windows of three people, one second apart."""

    def __init__(self) -> None:
        with np.load(FILE) as file:
            self._arrays: dict[str, Array] = {name: file[name] for name in file.files}
        self.embeddings = self._arrays["embeddings"].astype(np.float32)
        shape = (len(self.embeddings), 589, 3)
        bits = np.unpackbits(self._arrays["active"], count=int(np.prod(shape)))
        self.active = bits.reshape(shape)
        self.starts = np.arange(len(self.active)) * 1.0
        self.frames = frame_count(float(self.starts[-1]))
        self.plda = Plda.from_arrays(self._arrays, self._arrays)

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def talking(self, name: str) -> Array:
        """(frames, speakers) bool."""
        shape = tuple(self._arrays[f"{name}_shape"])
        bits = np.unpackbits(self._arrays[name], count=int(np.prod(shape)))
        found: Array = bits.reshape(shape).astype(bool)
        return found
