"""One bare pass of both networks over a recording: the lower bound of a diarizer's time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from meet_transcriber.engines.onnx.embeddings import CHUNK_SECONDS, campplus_graph
from meet_transcriber.engines.onnx.network import read_checkpoint
from meet_transcriber.engines.onnx.speaker_segmentation import segmentation_graph
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, usable_cores

_BATCHES = (1, 4, 16, 32)
_FRAME_SECONDS = 0.01
_MEL_DIMENSIONS = (80,)


@dataclass(frozen=True)
class Network:
    """
    A network as an ONNX graph with one input.

    The input is (n, 1, samples) of sound or (n, frames, 80) of features, n being free.
    """

    graph: bytes

    def pass_seconds(self, seconds: float, step: float | None = None) -> float:
        """
        Time the network on `seconds` of audio, at the fastest batch size.

        Args:
            step: seconds between window starts; None for adjacent windows.
        """
        session = self._session()
        shape = tuple(session.get_inputs()[0].shape[1:])
        window = _window_seconds(shape)
        count = max(1 + ceil((seconds - window) / (step or window)), 1)
        batch = min(_BATCHES, key=lambda size: _seconds(session, shape, 32, size) / 32)
        return _seconds(session, shape, count, batch)

    def _session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])


def found_in(folder: Path) -> tuple[Network, Network] | None:
    """Our diarizer's networks, from their checkpoints in MODELS_DIR; None if one is missing."""
    first = folder / "segmentation-3.0" / "pytorch_model.bin"
    second = folder / "campplus" / "campplus_cn_en_common.pt"
    if not (first.is_file() and second.is_file()):
        return None
    frames = round(CHUNK_SECONDS / _FRAME_SECONDS)
    segmentation = segmentation_graph(read_checkpoint(first))
    return Network(segmentation), Network(campplus_graph(read_checkpoint(second), frames))


def _window_seconds(shape: tuple[int, ...]) -> float:
    """Seconds of audio in one window."""
    if shape[-1:] == _MEL_DIMENSIONS:
        return shape[-2] * _FRAME_SECONDS
    return shape[-1] / SAMPLE_RATE_HZ


def _seconds(
    session: onnxruntime.InferenceSession, shape: tuple[int, ...], count: int, batch: int
) -> float:
    """Time `count` windows, after one warm-up batch."""
    name = session.get_inputs()[0].name
    session.run(None, {name: _noise((batch, *shape))})
    started = time.perf_counter()
    for size in _sizes(count, batch):
        session.run(None, {name: _noise((size, *shape))})
    return time.perf_counter() - started


def _sizes(count: int, batch: int) -> Iterator[int]:
    for at in range(0, count, batch):
        yield min(batch, count - at)


def _noise(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Input of constant value; the content does not affect the time."""
    return np.full(shape, 0.01, dtype=np.float32)
