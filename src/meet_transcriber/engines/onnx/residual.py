"""Residual blocks of two-dimensional convolutions, over mel bands and time (He et al. 2015)."""

from collections.abc import Mapping
from typing import Any

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
