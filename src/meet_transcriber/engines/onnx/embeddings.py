"""The embedding networks: CAM++ and WeSpeaker's ResNet34."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.graph import Graph

Array = npt.NDArray[Any]
Strides = tuple[int, int]

EPSILON = 1e-5
"""What batch normalization adds to variances."""


def residual(
    graph: Graph, value: str, weights: Mapping[str, Array], name: str, strides: Strides
) -> str:
    """Two convolutions beside the input itself, or its shortcut where there are weights of one."""
    found = convolved(graph, value, weights, f"{name}.conv1", f"{name}.bn1", strides)
    found = graph.node("Relu", found)
    found = convolved(graph, found, weights, f"{name}.conv2", f"{name}.bn2", (1, 1))
    if f"{name}.shortcut.0.weight" in weights:
        shortcut = f"{name}.shortcut.0", f"{name}.shortcut.1"
        value = convolved(graph, value, weights, *shortcut, strides)
    return graph.node("Relu", graph.node("Add", found, value))


def convolved(
    graph: Graph, value: str, weights: Mapping[str, Array], conv: str, norm: str, strides: Strides
) -> str:
    """A convolution, normalized; `strides` are of bands and of time."""
    kernel = weights[f"{conv}.weight"]
    pad = kernel.shape[-1] // 2
    value = graph.node("Conv", value, kernel, strides=list(strides), pads=[pad] * 4)
    return batch_norm(graph, value, weights, norm)


def batch_norm(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    """Normalized by what was seen in training."""
    parts = (
        weights[f"{name}.{each}"] for each in ("weight", "bias", "running_mean", "running_var")
    )
    return graph.node("BatchNormalization", value, *parts, epsilon=EPSILON)


MELS = 80
_CAMPPLUS_LAYERS = (12, 24, 16)
_DILATIONS = (1, 2, 2)
_CONTEXT_FRAMES = 100


def campplus_graph(weights: Mapping[str, Array], frames: int) -> bytes:
    """
    Return the ONNX file: `features` (chunks, `frames`, 80) to `trunk` (chunks, 512, frames / 2).

    Args:
        weights: the checkpoint's tensors.
        frames: of 10 ms in a chunk, a multiple of 200.
    """
    graph = Graph("campplus")
    half = frames // 2
    value = graph.input("features", "chunks", frames, MELS)
    value = graph.node("Transpose", value, perm=[0, 2, 1])
    value = graph.node("Unsqueeze", value, np.array([1], np.int64))
    value = _front_end(graph, value, weights)
    value = graph.node("Reshape", value, np.array([0, -1, frames], np.int64))
    value = graph.node(
        "Conv", value, weights["xvector.tdnn.linear.weight"], strides=[2], pads=[2, 2]
    )
    value = _activated(graph, value, weights, "xvector.tdnn.nonlinear.batchnorm")
    for block, (layers, dilation) in enumerate(
        zip(_CAMPPLUS_LAYERS, _DILATIONS, strict=True), start=1
    ):
        for layer in range(1, layers + 1):
            name = f"xvector.block{block}.tdnnd{layer}"
            found = _dense_layer(graph, value, weights, name, dilation, half)
            value = graph.node("Concat", value, found, axis=1)
        value = _activated(graph, value, weights, f"xvector.transit{block}.nonlinear.batchnorm")
        value = graph.node("Conv", value, weights[f"xvector.transit{block}.linear.weight"])
    value = _activated(graph, value, weights, "xvector.out_nonlinear.batchnorm")
    graph.output(value, "trunk", "chunks", 512, half)
    return graph.model()


def _front_end(graph: Graph, value: str, weights: Mapping[str, Array]) -> str:
    """(chunks, 1, 80, frames) to (chunks, 32, 10, frames)."""
    value = convolved(graph, value, weights, "head.conv1", "head.bn1", (1, 1))
    value = graph.node("Relu", value)
    for layer in (1, 2):
        for place in (0, 1):
            name = f"head.layer{layer}.{place}"
            strides = (2 if place == 0 else 1, 1)
            value = residual(graph, value, weights, name, strides)
    value = convolved(graph, value, weights, "head.conv2", "head.bn2", (2, 1))
    return graph.node("Relu", value)


def _dense_layer(
    graph: Graph, value: str, weights: Mapping[str, Array], name: str, dilation: int, frames: int
) -> str:
    """32 further channels, masked by what a chunk and its stretches of 2 s sound like."""
    value = _activated(graph, value, weights, f"{name}.nonlinear1.batchnorm")
    value = graph.node("Conv", value, weights[f"{name}.linear1.weight"])
    value = _activated(graph, value, weights, f"{name}.nonlinear2.batchnorm")
    local = graph.node(
        "Conv",
        value,
        weights[f"{name}.cam_layer.linear_local.weight"],
        dilations=[dilation],
        pads=[dilation, dilation],
    )
    size = [_CONTEXT_FRAMES]
    stretches = graph.node("AveragePool", value, kernel_shape=size, strides=size)
    context = graph.node("Add", stretches, graph.node("GlobalAveragePool", value))
    context = graph.node("Relu", _pointwise(graph, context, weights, f"{name}.cam_layer.linear1"))
    mask = graph.node("Sigmoid", _pointwise(graph, context, weights, f"{name}.cam_layer.linear2"))
    count = frames // _CONTEXT_FRAMES
    split = graph.node("Reshape", local, np.array([0, 0, count, _CONTEXT_FRAMES], np.int64))
    masked = graph.node("Mul", split, graph.node("Unsqueeze", mask, np.array([3], np.int64)))
    return graph.node("Reshape", masked, np.array([0, 0, frames], np.int64))


def _pointwise(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    return graph.node("Conv", value, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _activated(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    return graph.node("Relu", batch_norm(graph, value, weights, name))


def campplus_head(weights: Mapping[str, Array], pooled: Array) -> Array:
    """
    Return embeddings (n, 192) from pooled trunks (n, 1024): means, then standard deviations.
    """
    dense = weights["xvector.dense.linear.weight"][:, :, 0]
    norm = "xvector.dense.nonlinear.batchnorm"
    mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
    found: Array = (pooled @ dense.T - mean) / np.sqrt(variance + EPSILON)
    return found


SUBSAMPLING = 8
"""Frames of 10 ms to one of the trunk."""

_WESPEAKER_LAYERS = (1, 2, 3, 4)


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
    for layer in _WESPEAKER_LAYERS:
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
