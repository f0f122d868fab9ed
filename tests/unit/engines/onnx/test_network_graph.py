"""ONNX files that onnxruntime loads and that compute the same as numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from meet_transcriber.engines.onnx.network import Attribute, Graph

Array = npt.NDArray[Any]
CHANCE = np.random.default_rng(1)


def _run(graph: Graph, **inputs: Array) -> Array:
    session = onnxruntime.InferenceSession(graph.to_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, inputs)
    return np.asarray(found)


def _apply(operator: str, value: Array, *others: Array, **attributes: Attribute) -> Array:
    """One operator on one input."""
    graph = Graph("one")
    name = graph.input("x", *value.shape)
    result = graph.node(operator, name, *others, **attributes)
    graph.output(result, "y", *([f"d{axis}" for axis in range(value.ndim)]))
    return _run(graph, x=value)


def _two_layers() -> Graph:
    graph = Graph("layers")
    value = graph.input("x", "rows", 3)
    chance = np.random.default_rng(2)
    for size, into in ((3, 5), (5, 2)):
        value = graph.node("MatMul", value, chance.standard_normal((size, into), np.float32))
        value = graph.node("LeakyRelu", value, alpha=0.1)
    graph.output(value, "y", "rows", 2)
    return graph


def test_the_same_calls_give_the_same_bytes() -> None:
    assert _two_layers().to_bytes() == _two_layers().to_bytes()


def test_layers_compute_what_numpy_computes() -> None:
    x = CHANCE.standard_normal((7, 3), np.float32)
    chance, expected = np.random.default_rng(2), x
    for size, into in ((3, 5), (5, 2)):
        expected = expected @ chance.standard_normal((size, into), np.float32)
        expected = np.where(expected > 0, expected, 0.1 * expected)
    np.testing.assert_allclose(_run(_two_layers(), x=x), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 300])
def test_a_named_dimension_varies(rows: int) -> None:
    assert _run(_two_layers(), x=np.ones((rows, 3), np.float32)).shape == (rows, 2)


def test_an_attribute_of_a_fraction() -> None:
    x = CHANCE.standard_normal(9, np.float32)
    np.testing.assert_allclose(
        _apply("LeakyRelu", x, alpha=-0.25), np.where(x > 0, x, -0.25 * x), atol=1e-6
    )


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_an_attribute_of_an_integer_may_be_negative(axis: int) -> None:
    x = CHANCE.standard_normal((2, 3), np.float32)
    np.testing.assert_array_equal(
        _apply("Concat", x, -x, axis=axis), np.concatenate([x, -x], axis=axis)
    )


@pytest.mark.parametrize("size", [1, 127, 128, 20_000, 1 << 40])
def test_an_attribute_of_an_integer_may_be_large(size: int) -> None:
    """Seven bits a byte: 128 is the first of two bytes, 16384 of three."""
    x = CHANCE.standard_normal((1, 1, 20_000), np.float32)
    graph = Graph("pieces")
    value = graph.input("x", 1, 1, x.shape[2])
    shape = graph.node("Shape", value, start=-1, end=size)
    graph.output(graph.node("Cast", shape, to=1), "y", "axes")
    expected = x.shape[len(x.shape) - 1 : size]
    np.testing.assert_array_equal(_run(graph, x=x), expected)


@pytest.mark.parametrize("size", [127, 128, 300])
def test_an_attribute_of_large_integers(size: int) -> None:
    x = CHANCE.standard_normal((1, 1, 900), np.float32)
    found = _apply("MaxPool", x, kernel_shape=[size], strides=[size])
    whole = x[0, 0, : 900 // size * size].reshape(-1, size)
    np.testing.assert_array_equal(found[0, 0], whole.max(axis=1))


def test_an_attribute_of_text() -> None:
    """A bidirectional layer with weights of zero outputs zeros."""
    graph = Graph("both")
    value = graph.input("x", 4, 1, 3)
    weights = [np.zeros((2, 8, width), np.float32) for width in (3, 2)]
    found = graph.node("LSTM", value, *weights, hidden_size=2, direction="bidirectional")
    graph.output(found, "y", "t", "d", "n", "h")
    np.testing.assert_array_equal(
        _run(graph, x=np.ones((4, 1, 3), np.float32)), np.zeros((4, 2, 1, 2))
    )


def test_an_attribute_of_several_integers() -> None:
    x = CHANCE.standard_normal((2, 3, 4), np.float32)
    np.testing.assert_array_equal(
        _apply("Transpose", x, perm=[2, 0, 1]), np.transpose(x, (2, 0, 1))
    )


@pytest.mark.parametrize(
    "shape", [[-1], [2, -1], [1, 1, 24], [0, 12]], ids=["rest", "two", "ones", "kept"]
)
def test_integers_as_constants(shape: list[int]) -> None:
    x = CHANCE.standard_normal((2, 12), np.float32)
    graph = Graph("reshaped")
    value = graph.node("Reshape", graph.input("x", 2, 12), np.array(shape, np.int64))
    graph.output(value, "y", *[f"d{axis}" for axis in range(len(shape))])
    kept = [size or x.shape[axis] for axis, size in enumerate(shape)]
    np.testing.assert_array_equal(_run(graph, x=x), x.reshape(kept))


def test_constants_of_any_layout() -> None:
    """Weights may be transposed."""
    weights = CHANCE.standard_normal((3, 2), np.float32)
    x = CHANCE.standard_normal((1, 3), np.float32)
    for same in (weights, np.asfortranarray(weights), weights.T.copy().T):
        np.testing.assert_allclose(_apply("MatMul", x, same), x @ weights, atol=1e-6)


def test_convolution_with_strides_and_pads() -> None:
    x = CHANCE.standard_normal((1, 1, 16), np.float32)
    kernel = CHANCE.standard_normal((1, 1, 3), np.float32)
    found = _apply("Conv", x, kernel, strides=[2], pads=[1, 1], dilations=[1])
    padded = np.pad(x[0, 0], 1)
    whole = np.correlate(padded, kernel[0, 0], "valid")
    np.testing.assert_allclose(found[0, 0], whole[::2], atol=1e-5)
