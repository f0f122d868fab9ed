"""
A graph of operators as an ONNX file in memory, written without the onnx package.

ONNX is Protocol Buffers; the numbers below are those of its fields (onnx/onnx: onnx/onnx.proto).
Writing the few messages that a graph needs spares an installation of 60 MB.
"""

import struct
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Attribute = int | float | str | Sequence[int]

OPSET = 17
_IR_VERSION = 8
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7  # AttributeProto.AttributeType


class Graph:
    """
    A graph under construction; values are named by strings.

    The same calls give the same bytes.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = count()
        self._nodes: list[bytes] = []
        self._constants: dict[str, bytes] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []

    def input(self, name: str, *shape: int | str) -> str:
        """Declare an input of float32; a dimension that varies is given by a name."""
        self._inputs.append(_value(name, shape))
        return name

    def output(self, value: str, name: str, *shape: int | str) -> None:
        """Declare an output of float32."""
        self._nodes.append(_node("Identity", (value,), (name,), {}))
        self._outputs.append(_value(name, shape))

    def constant(self, array: Array, name: str = "") -> str:
        """Weights, or another value that never changes."""
        name = name or f"constant_{next(self._numbers)}"
        if name not in self._constants:
            self._constants[name] = _tensor(name, array)
        return name

    def node(self, operator: str, *inputs: str | Array, **attributes: Attribute) -> str:
        """Apply an operator; returns its first output."""
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        result = f"{operator}_{next(self._numbers)}"
        self._nodes.append(_node(operator, names, (result,), attributes))
        return result

    def model(self) -> bytes:
        """The file."""
        graph = b"".join(
            [
                *(_field(1, node) for node in self._nodes),
                _field(2, self._name.encode()),
                *(_field(5, tensor) for tensor in self._constants.values()),
                *(_field(11, value) for value in self._inputs),
                *(_field(12, value) for value in self._outputs),
            ]
        )
        operators = _field(1, b"") + _number(2, OPSET)
        return _number(1, _IR_VERSION) + _field(7, graph) + _field(8, operators)


def _tensor(name: str, array: Array) -> bytes:
    dims = b"".join(_number(1, size) for size in array.shape)
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return dims + _number(2, _TYPES[array.dtype]) + _field(8, name.encode()) + _field(9, content)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(
        _field(1, _number(1, size) if isinstance(size, int) else _field(2, size.encode()))
        for size in shape
    )
    kind = _number(1, _TYPES[np.dtype(np.float32)]) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, kind))


def _node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, Attribute]
) -> bytes:
    return b"".join(
        [
            *(_field(1, name.encode()) for name in inputs),
            *(_field(2, name.encode()) for name in outputs),
            _field(4, operator.encode()),
            *(_field(5, _attribute(name, value)) for name, value in sorted(attributes.items())),
        ]
    )


def _attribute(name: str, value: Attribute) -> bytes:
    head = _field(1, name.encode())
    if isinstance(value, float):
        return head + b"\x15" + struct.pack("<f", value) + _number(20, _FLOAT)
    if isinstance(value, int):
        return head + _number(3, value) + _number(20, _INT)
    if isinstance(value, str):
        return head + _field(4, value.encode()) + _number(20, _STRING)
    return head + b"".join(_number(8, each) for each in value) + _number(20, _INTS)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    """A field of an integer."""
    return _varint(number << 3) + _varint(value & (1 << 64) - 1)


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value >> 7:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
