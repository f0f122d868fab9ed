"""
WeSpeaker's ResNet34: what a voice sounds like, as 256 numbers.

A residual network of two-dimensional convolutions (Wang et al. 2023; wenet-e2e/wespeaker:
wespeaker/models/resnet.py) with the names of weights that pyannote.audio's class
WeSpeakerResNet34 gives them. The graph ends before the pooling, so that one pass over the audio
serves every speaker in it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.graph import Graph
from meet_transcriber.engines.onnx.residual import convolved, residual

Array = npt.NDArray[Any]

MELS = 80
SUBSAMPLING = 8
"""Frames of 10 ms to one of the trunk."""

_LAYERS = (1, 2, 3, 4)


def wespeaker_graph(weights: Mapping[str, Array], frames: int) -> bytes:
    """
    Return the ONNX file: `features` (chunks, `frames`, 80) to `trunk` (chunks, n, `frames` / 8).

    Args:
        weights: the checkpoint's tensors; they say how many channels and layers there are.
        frames: of 10 ms in a chunk, a multiple of 8.
    """
    graph = Graph("wespeaker")
    value = graph.input("features", "chunks", frames, MELS)
    value = graph.node("Transpose", value, perm=[0, 2, 1])
    value = graph.node("Unsqueeze", value, np.array([1], np.int64))
    value = convolved(graph, value, weights, "resnet.conv1", "resnet.bn1", (1, 1))
    value = graph.node("Relu", value)
    for layer in _LAYERS:
        for place in range(_blocks(weights, layer)):
            stride = 2 if layer > 1 and place == 0 else 1
            name = f"resnet.layer{layer}.{place}"
            value = residual(graph, value, weights, name, (stride, stride))
    size = frames // SUBSAMPLING
    value = graph.node("Reshape", value, np.array([0, -1, size], np.int64))
    graph.output(value, "trunk", "chunks", wespeaker_features(weights), size)
    return graph.model()


def wespeaker_features(weights: Mapping[str, Array]) -> int:
    """Values of a frame of the trunk: channels times bands, 2560 in the official network."""
    return int(weights["resnet.seg_1.weight"].shape[1]) // 2


def wespeaker_head(weights: Mapping[str, Array], pooled: Array) -> Array:
    """
    Return embeddings (n, 256) from pooled trunks (n, 5120): means, then standard deviations.
    """
    found: Array = pooled @ weights["resnet.seg_1.weight"].T + weights["resnet.seg_1.bias"]
    return found


def _blocks(weights: Mapping[str, Array], layer: int) -> int:
    names = {name.split(".")[2] for name in weights if name.startswith(f"resnet.layer{layer}.")}
    return len(names)
