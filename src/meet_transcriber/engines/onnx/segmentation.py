"""
segmentation-3.0: who of up to three local speakers talks, every 17 ms of a 10 s window.

The network is pyannote.audio's PyanNet (Bredin 2023; pyannote/pyannote-audio:
models/segmentation/PyanNet.py, models/blocks/sincnet.py): learned band-pass filters, two
convolutions, four bidirectional LSTM layers, and a softmax over sets of speakers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.graph import Graph

Array = npt.NDArray[Any]

WINDOW_SAMPLES = 160_000
FRAMES = 589
"""Frames of a window."""
FIRST_FRAME_SAMPLES = 991
"""What the first frame of a window sees."""
FRAME_SAMPLES = 270
"""From one frame to the next."""
SETS = np.array(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], np.float32
)
"""(7, 3): the local speakers of each class of the softmax."""

_RATE_HZ = 16_000
_LOWEST_HZ = 50.0
_LAYERS = 4
_SINC_STRIDE = 10


def segmentation_graph(weights: Mapping[str, Array]) -> bytes:
    """
    Return the ONNX file: `audio` (windows, 1, 160000) to `scores` (windows, 589, 7).

    Args:
        weights: the checkpoint's tensors; scores are log probabilities.
    """
    graph = Graph("segmentation-3.0")
    audio = graph.input("audio", "windows", 1, WINDOW_SAMPLES)
    value = _normalized(graph, audio, weights, "sincnet.wav_norm1d")
    # a second dimension of 1, since onnxruntime has faster convolutions for two
    value = graph.node("Unsqueeze", value, np.array([2], np.int64))
    value = graph.node("Conv", value, _filters(weights)[:, :, None], strides=[1, _SINC_STRIDE])
    value = _pooled(graph, graph.node("Abs", value), weights, "sincnet.norm1d.0")
    for place in (1, 2):
        name = f"sincnet.conv1d.{place}"
        kernel = weights[f"{name}.weight"][:, :, None]
        value = graph.node("Conv", value, kernel, weights[f"{name}.bias"])
        value = _pooled(graph, value, weights, f"sincnet.norm1d.{place}")
    value = graph.node("Squeeze", value, np.array([2], np.int64))
    value = graph.node("Transpose", value, perm=[2, 0, 1])
    for layer in range(_LAYERS):
        value = _lstm(graph, value, weights, layer)
    value = graph.node("Transpose", value, perm=[1, 0, 2])
    for place in (0, 1):
        value = _linear(graph, value, weights, f"linear.{place}")
        value = graph.node("LeakyRelu", value, alpha=0.01)
    scores = graph.node("LogSoftmax", _linear(graph, value, weights, "classifier"), axis=2)
    graph.output(scores, "scores", "windows", FRAMES, len(SETS))
    return graph.model()


def _normalized(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    scale, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return graph.node("InstanceNormalization", value, scale, bias, epsilon=1e-5)


def _pooled(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    value = graph.node("MaxPool", value, kernel_shape=[1, 3], strides=[1, 3])
    return graph.node("LeakyRelu", _normalized(graph, value, weights, name), alpha=0.01)


def _filters(weights: Mapping[str, Array]) -> Array:
    """
    (80, 1, 251): 40 pairs of band-pass filters, even and odd.

    From their edges as the checkpoint has them (asteroid-filterbanks: param_sinc_fb.py).
    """
    prefix = "sincnet.conv1d.0.filterbank."
    times, window = weights[f"{prefix}n_"], weights[f"{prefix}window_"]
    low = _LOWEST_HZ + np.abs(weights[f"{prefix}low_hz_"])
    high = np.clip(
        low + _LOWEST_HZ + np.abs(weights[f"{prefix}band_hz_"]), _LOWEST_HZ, _RATE_HZ / 2
    )
    band = high - low
    even = (_sin(high * times) - _sin(low * times)) / (times / 2) * window
    odd = (_cos(low * times) - _cos(high * times)) / (times / 2) * window
    filters = np.concatenate(
        [
            np.concatenate([even, 2 * band, even[:, ::-1]], axis=1) / (2 * band),
            np.concatenate([odd, 0 * band, -odd[:, ::-1]], axis=1) / (2 * band),
        ]
    )
    return filters[:, None].astype(np.float32)


def _sin(phases: Array) -> Array:
    """Rounded once, as torch's is within one unit in the last place; numpy's is less exact."""
    return np.sin(phases.astype(np.float64)).astype(np.float32)


def _cos(phases: Array) -> Array:
    return np.cos(phases.astype(np.float64)).astype(np.float32)


def _lstm(graph: Graph, value: str, weights: Mapping[str, Array], layer: int) -> str:
    """One bidirectional layer over (frames, windows, features)."""

    def both(name: str) -> Array:
        parts = [weights[f"lstm.{name}_l{layer}{way}"] for way in ("", "_reverse")]
        # torch has the gates as input, forget, cell, output; ONNX as input, output, forget, cell
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
        hidden_size=weights["lstm.weight_hh_l0"].shape[1],
    )
    merged = graph.node("Transpose", found, perm=[0, 2, 1, 3])
    return graph.node("Reshape", merged, np.array([0, 0, -1], np.int64))


def _linear(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    product = graph.node("MatMul", value, weights[f"{name}.weight"].T.copy())
    return graph.node("Add", product, weights[f"{name}.bias"])
