"""
Speaker segmentation: which of up to three local speakers of a 10 s window talk, every 17 ms.

The network, segmentation-3.0, is pyannote.audio's PyanNet (Bredin 2023; pyannote/pyannote-audio:
models/segmentation/PyanNet.py, models/blocks/sincnet.py): learned band-pass filters, two
convolutions, four bidirectional LSTM layers, and a softmax over sets of speakers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meet_transcriber.engines.onnx.network import Array, Graph, Network, read_checkpoint
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress, map_concurrently

WINDOW_SAMPLES = 160_000
FRAMES = 589  # frames in a window
FIRST_FRAME_SAMPLES = 991  # receptive field of a frame
FRAME_SAMPLES = 270  # hop between frames
POWERSET = np.array(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], np.float32
)
"""(7, 3): the local speakers that talk in each class of the softmax."""

FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE_HZ
FIRST_FRAME_SECONDS = FIRST_FRAME_SAMPLES / 2 / SAMPLE_RATE_HZ  # middle of frame 0
WINDOW_SECONDS = WINDOW_SAMPLES // SAMPLE_RATE_HZ
LOCAL_SPEAKERS = POWERSET.shape[1]

_LOWEST_HZ = 50.0
_LAYERS = 4
_SINC_STRIDE = 10


def segmentation_graph(weights: Mapping[str, Array]) -> bytes:
    """
    Return the ONNX file: `audio` (windows, 1, 160000) to log probabilities (windows, 589, 7).

    Args:
        weights: the checkpoint's tensors.
    """
    graph = Graph("segmentation-3.0", weights)
    audio = graph.input("audio", "windows", 1, WINDOW_SAMPLES)
    value = _instance_norm(graph, audio, "sincnet.wav_norm1d")
    # a second dimension of size 1: onnxruntime's two-dimensional convolutions are faster
    value = graph.node("Unsqueeze", value, np.array([2], np.int64))
    value = graph.node("Conv", value, _filters(weights)[:, :, None], strides=[1, _SINC_STRIDE])
    value = _pool_norm(graph, graph.node("Abs", value), "sincnet.norm1d.0")
    for place in (1, 2):
        name = f"sincnet.conv1d.{place}"
        kernel = weights[f"{name}.weight"][:, :, None]
        value = graph.node("Conv", value, kernel, weights[f"{name}.bias"])
        value = _pool_norm(graph, value, f"sincnet.norm1d.{place}")
    value = graph.node("Squeeze", value, np.array([2], np.int64))
    value = graph.node("Transpose", value, perm=[2, 0, 1])
    for layer in range(_LAYERS):
        value = _lstm(graph, value, layer)
    value = graph.node("Transpose", value, perm=[1, 0, 2])
    for place in (0, 1):
        value = _linear(graph, value, f"linear.{place}")
        value = graph.node("LeakyRelu", value, alpha=0.01)
    scores = graph.node("LogSoftmax", _linear(graph, value, "classifier"), axis=2)
    graph.output(scores, "scores", "windows", FRAMES, len(POWERSET))
    return graph.to_bytes()


def _instance_norm(graph: Graph, value: str, name: str) -> str:
    scale, bias = graph.weights[f"{name}.weight"], graph.weights[f"{name}.bias"]
    return graph.node("InstanceNormalization", value, scale, bias, epsilon=1e-5)


def _pool_norm(graph: Graph, value: str, name: str) -> str:
    value = graph.node("MaxPool", value, kernel_shape=[1, 3], strides=[1, 3])
    return graph.node("LeakyRelu", _instance_norm(graph, value, name), alpha=0.01)


def _filters(weights: Mapping[str, Array]) -> Array:
    """
    Return (80, 1, 251) band-pass filters: 40 pairs, even and odd.

    Computed from the band edges in the checkpoint (asteroid-filterbanks: param_sinc_fb.py).
    """
    prefix = "sincnet.conv1d.0.filterbank."
    times, window = weights[f"{prefix}n_"], weights[f"{prefix}window_"]
    low = _LOWEST_HZ + np.abs(weights[f"{prefix}low_hz_"])
    high = np.clip(
        low + _LOWEST_HZ + np.abs(weights[f"{prefix}band_hz_"]), _LOWEST_HZ, SAMPLE_RATE_HZ / 2
    )
    band = high - low

    def exact(function: np.ufunc, phases: Array) -> Array:
        """Compute in float64 and round once: within one unit in the last place of torch."""
        return np.asarray(function(phases.astype(np.float64)), np.float32)

    even = (exact(np.sin, high * times) - exact(np.sin, low * times)) / (times / 2) * window
    odd = (exact(np.cos, low * times) - exact(np.cos, high * times)) / (times / 2) * window
    filters = np.concatenate(
        [
            np.concatenate([even, 2 * band, even[:, ::-1]], axis=1) / (2 * band),
            np.concatenate([odd, 0 * band, -odd[:, ::-1]], axis=1) / (2 * band),
        ]
    )
    return filters[:, None].astype(np.float32)


def _lstm(graph: Graph, value: str, layer: int) -> str:
    """Add a bidirectional layer over (frames, windows, features)."""

    def both(name: str) -> Array:
        parts = [graph.weights[f"lstm.{name}_l{layer}{way}"] for way in ("", "_reverse")]
        # torch orders gates as input, forget, cell, output; ONNX as input, output, forget, cell
        gates = [np.split(part, 4) for part in parts]
        return np.stack([np.concatenate([i, o, f, c]) for i, f, c, o in gates])

    bias = np.concatenate([both("bias_ih"), both("bias_hh")], axis=1)
    found = graph.node(
        "LSTM",
        value,
        both("weight_ih"),
        both("weight_hh"),
        bias,
        direction="bidirectional",
        hidden_size=graph.weights["lstm.weight_hh_l0"].shape[1],
    )
    merged = graph.node("Transpose", found, perm=[0, 2, 1, 3])
    return graph.node("Reshape", merged, np.array([0, 0, -1], np.int64))


def _linear(graph: Graph, value: str, name: str) -> str:
    product = graph.node("MatMul", value, graph.weights[f"{name}.weight"].T.copy())
    return graph.node("Add", product, graph.weights[f"{name}.bias"])


class Segmentation:
    """
    The network segmentation-3.0.

    Raises:
        EngineUnavailable: the checkpoint or the device cannot be used.
    """

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        weights = read_checkpoint(checkpoint)
        self._network = Network(segmentation_graph, weights, checkpoint, device)
        self.on_gpu = self._network.on_gpu

    def scores(self, windows: Array) -> Array:
        """Return the log probabilities (n, 589, 7) of samples (n, 160000); see `POWERSET`."""
        return self._network(windows[:, None])

    def classes(self, windows: Array) -> Array:
        """Return the likeliest class of each frame, (n, 589) uint8, of samples (n, 160000)."""
        found: Array = np.argmax(self.scores(windows), axis=2).astype(np.uint8)
        return found


@dataclass(frozen=True)
class Activity:
    """
    Result of segmentation.

    Attributes:
        starts: (windows,) seconds at which windows begin.
        active: (windows, 589, 3) uint8, whether a local speaker talks.
        count: (frames,) number of people who talk, over the whole recording.
    """

    starts: Array
    active: Array
    count: Array


def detect_activity(
    network: Segmentation,
    audio: AudioSource,
    step: float,
    gain: float,
    batch: int,
    threads: int,
    progress: Progress,
) -> Activity:
    """
    Run segmentation over all windows, as it finds far-field speech that the speech detector misses.

    Args:
        step: seconds between the starts of windows.
        gain: factor for the samples.
        batch: windows per call of the network.
        threads: number of concurrent calls.
    """
    starts = _window_starts(audio.duration, step)
    batches = [starts[at : at + batch] for at in range(0, len(starts), batch)]
    windows = (np.float32(gain) * _windows(audio, each) for each in batches)
    found = []
    for classes in map_concurrently(network.classes, windows, threads):
        found.append(classes)
        progress(len(found) / len(batches))
    active = POWERSET.astype(np.uint8)[np.concatenate(found)]
    frames = int(np.ceil(audio.duration / FRAME_SECONDS))
    return Activity(np.array(starts), active, count_speakers(active, np.array(starts), frames))


def _window_starts(duration: float, step: float) -> list[float]:
    """Return the starts of windows in seconds; the last window reaches the end or beyond it."""
    beyond = max(duration - WINDOW_SECONDS, 0.0)
    return [place * step for place in range(int(np.ceil(beyond / step - 1e-9)) + 1)]


def first_frame(start: float) -> int:
    """Return the frame of the recording that is nearest to a window's first frame."""
    return int(np.rint(start / FRAME_SECONDS))


def count_speakers(active: Array, starts: Array, frames: int) -> Array:
    """Return (frames,) int8: the mean number of speakers over the windows, half to even."""
    speaking = active.sum(axis=2, keepdims=True)
    covering = overlap_add(np.ones_like(speaking), starts, frames)
    mean = overlap_add(speaking, starts, frames) / np.maximum(covering, np.float32(1e-12))
    found: Array = np.rint(mean[:, 0]).astype(np.int8)
    return found


def overlap_add(parts: Array, starts: Array, frames: int) -> Array:
    """Add overlapping windows (windows, 589, n) to (frames, n), cut off at the end."""
    total = np.zeros((frames, parts.shape[2]), np.float32)
    for start, part in zip(starts, parts, strict=True):
        seen = total[first_frame(float(start)) :][: len(part)]
        seen += part[: len(seen)]
    return total


def _windows(audio: AudioSource, starts: Sequence[float]) -> Array:
    """Return the samples (n, 160000) of adjacent windows; overlaps are read once."""
    samples = read_padded(audio, starts[0], starts[-1] + WINDOW_SECONDS)
    places = [round((start - starts[0]) * SAMPLE_RATE_HZ) for start in starts]
    return np.stack([samples[place : place + WINDOW_SAMPLES] for place in places])


def read_padded(audio: AudioSource, start: float, end: float) -> Array:
    """Read samples, padded with silence after the end of the recording."""
    samples = np.zeros(round((end - start) * SAMPLE_RATE_HZ), np.float32)
    found = audio.read(start, max(min(end, audio.duration), start))[: len(samples)]
    samples[: len(found)] = found
    return samples
