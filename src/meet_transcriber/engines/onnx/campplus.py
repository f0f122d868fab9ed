"""
CAM++: what a voice sounds like, as 192 numbers.

A front end of two-dimensional convolutions and three blocks of densely connected time delay
layers with context-aware masks (Wang et al. 2023; modelscope/3D-Speaker:
speakerlab/models/campplus/DTDNN.py). The graph ends before the pooling, so that one pass over
the audio serves every speaker in it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.graph import Graph
from meet_transcriber.engines.onnx.residual import EPSILON, batch_norm, convolved, residual

Array = npt.NDArray[Any]

MELS = 80
_LAYERS = (12, 24, 16)
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
    for block, (layers, dilation) in enumerate(zip(_LAYERS, _DILATIONS, strict=True), start=1):
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
