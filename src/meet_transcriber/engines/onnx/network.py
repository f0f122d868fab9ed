"""
Networks on onnxruntime, built from PyTorch checkpoints without torch and without onnx.

A checkpoint is read by a restricted unpickler. The graph is written as an ONNX file in memory:
ONNX is Protocol Buffers, with the field numbers of onnx/onnx: onnx/onnx.proto. Writing the few
messages that a graph needs saves an installation of 60 MB.
"""

import io
import math
import pickle
import pickletools
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    RuntimeException,
)

from meet_transcriber.core.errors import DiarizationFailed, EngineUnavailable

Array = npt.NDArray[Any]

# Storage classes and their types (PyTorch: torch/storage.py); all little-endian.
_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8", "HalfStorage": "<f2", "IntStorage": "<i4"}

# Raised by zipfile, pickle and the objects of a damaged pickle.
_DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip


def read_checkpoint(path: Path) -> dict[str, Array]:
    """
    Return the tensors of a checkpoint (a zip that contains a pickle) by name.

    A pickle can run any code, so none of the names in it are imported: this module builds the
    tensors, and every other object becomes an empty placeholder.

    Raises:
        EngineUnavailable: the file is not a checkpoint, or has invalid tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (root,) = (n[: -len("data.pkl")] for n in archive.namelist() if n.endswith("/data.pkl"))
            content = _TensorUnpickler(archive, root).load()
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise EngineUnavailable(f"{path} cannot be read as a checkpoint: {reason}.") from error
    states = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    if not isinstance(states, Mapping):
        states = {}
    tensors = {name: value for name, value in states.items() if isinstance(value, np.ndarray)}
    if not tensors:
        raise EngineUnavailable(f"{path} contains no tensors.")
    return tensors


class _Placeholder:
    """Replaces an object that is not a tensor."""

    def __init__(self, *_arguments: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


class _TensorUnpickler(pickle.Unpickler):
    """Builds arrays and containers, and placeholders for all other objects."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        program = _read_stored(archive, f"{root}data.pkl")
        _check_memo_indices(program)
        super().__init__(io.BytesIO(program), encoding="utf-8")
        self._archive, self._root = archive, root
        self._storages: dict[str, bytes] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return a class of this module; nothing is imported."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _TensorBuilder()
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _STORAGES:
            return np.dtype(_STORAGES[name])
        return _Placeholder

    def persistent_load(self, pid: Any) -> Array:
        """Read a storage: ("storage", type, key, place, elements), as torch.save writes it."""
        kind, dtype, key = pid[:3]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"unknown storage type {dtype}")
        if key not in self._storages:
            self._storages[key] = _read_stored(self._archive, f"{self._root}data/{key}")
        return np.frombuffer(self._storages[key], dtype)


def _read_stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member that is not compressed, as torch.save writes it: no larger than the file."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise pickle.UnpicklingError(f"{name} is compressed")
    return archive.read(name)


def _check_memo_indices(program: bytes) -> None:
    """Limit memo indices: the unpickler allocates up to the highest one, as much as 32 GB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escape sequences in text
        for opcode, place, _ in pickletools.genops(program):
            if opcode.name in {"PUT", "LONG_BINPUT"} and not 0 <= int(place or 0) < len(program):
                raise pickle.UnpicklingError("a memo index is out of range")


class _TensorBuilder:
    """Stands for torch._utils._rebuild_tensor_v2; a pickle cannot modify it."""

    __slots__ = ()

    def __call__(
        self,
        storage: Array,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_rest: object,
    ) -> Array:
        """Return a tensor of a storage; offset and strides count elements."""
        _check_bounds(storage, offset, shape, strides)
        steps = tuple(step * storage.itemsize for step in strides)
        view = np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
        return np.ascontiguousarray(view)

    def __setstate__(self, _state: object) -> None:
        pass


def _check_bounds(
    storage: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    """Check that a tensor lies in its storage, as numpy would read any memory address."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise pickle.UnpicklingError("a tensor has no storage")
    numbers = (offset, *shape, *strides)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise pickle.UnpicklingError("a tensor has an invalid shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if math.prod(shape) > len(storage) or (all(shape) and last >= len(storage)):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")


Attribute = int | float | str | Sequence[int]

_OPSET = 17
_IR_VERSION = 8
# No float16: with weights rounded to 16 bits, 43 of 5,301 frames got another class, since the
# variances of normalization lose their digits (decision 14).
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7  # AttributeProto.AttributeType


class Graph:
    """
    Builds an ONNX graph; deterministic.

    Values are identified by name.

    Attributes:
        weights: tensors that the functions which add layers take their constants from.
    """

    def __init__(self, name: str, weights: Mapping[str, Array] | None = None) -> None:
        self._name, self.weights = name, weights or {}
        self._numbers = count()
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []

    def input(self, name: str, *shape: int | str) -> str:
        """Declare a float32 input; a dimension given by name is dynamic."""
        self._inputs.append(_value_info(name, shape))
        return name

    def output(self, value: str, name: str, *shape: int | str) -> None:
        """Declare a float32 output."""
        self._nodes.append(_node("Identity", (value,), (name,), {}))
        self._outputs.append(_value_info(name, shape))

    def node(self, operator: str, *inputs: str | Array, **attributes: Attribute) -> str:
        """Apply an operator to values or constants; returns the name of its first output."""
        names = []
        for each in inputs:
            name = each if isinstance(each, str) else f"constant_{next(self._numbers)}"
            if not isinstance(each, str):
                self._constants.append(_tensor(name, each))
            names.append(name)
        result = f"{operator}_{next(self._numbers)}"
        self._nodes.append(_node(operator, names, (result,), attributes))
        return result

    def to_bytes(self) -> bytes:
        """Return the ONNX file."""
        graph = b"".join(
            [
                *(_field(1, node) for node in self._nodes),
                _field(2, self._name.encode()),
                *(_field(5, tensor) for tensor in self._constants),
                *(_field(11, value) for value in self._inputs),
                *(_field(12, value) for value in self._outputs),
            ]
        )
        operators = _field(1, b"") + _number(2, _OPSET)
        return _number(1, _IR_VERSION) + _field(7, graph) + _field(8, operators)


def _tensor(name: str, array: Array) -> bytes:
    dims = b"".join(_number(1, size) for size in array.shape)
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return dims + _number(2, _TYPES[array.dtype]) + _field(8, name.encode()) + _field(9, content)


def _value_info(name: str, shape: Sequence[int | str]) -> bytes:
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
    """Encode a field of bytes, text or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    """Encode an integer field."""
    return _varint(number << 3) + _varint(value & (1 << 64) - 1)


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value >> 7:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


CUDA = "CUDAExecutionProvider"  # onnxruntime's name for NVIDIA GPUs
_ERRORS = (EPFail, Fail, InvalidArgument, InvalidGraph, RuntimeException)


class Network:
    """
    An onnxruntime session with one input and one output.

    It uses one thread, since concurrent calls are faster than threads inside a call.

    Args:
        build: makes the ONNX file from the tensors.
        weights: the checkpoint's tensors.
        checkpoint: named in errors.
        device: `cpu` or `cuda`.

    Raises:
        EngineUnavailable: the checkpoint is of another network, or the device cannot be used.
    """

    def __init__(
        self,
        build: Callable[[Mapping[str, Array]], bytes],
        weights: Mapping[str, Array],
        checkpoint: Path,
        device: str,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            # with TF32, the default, one frame in 24 got another class (onnxruntime 1.27, H200)
            providers.insert(0, (CUDA, {"use_tf32": 0}))
        try:
            self._session = onnxruntime.InferenceSession(
                build(weights), sess_options=options, providers=providers
            )
        except KeyError as error:
            raise EngineUnavailable(
                f"{checkpoint} is a checkpoint of another network: it has no {error}."
            ) from error
        except _ERRORS as error:
            raise EngineUnavailable(
                f"onnxruntime cannot load a speaker network: {error}"
            ) from error

        # onnxruntime falls back to the CPU if a library is missing
        self.on_gpu = CUDA in self._session.get_providers()

    def __call__(self, value: Array) -> Array:
        """Run the network; raises DiarizationFailed, also if the result is not finite."""
        try:
            (found,) = self._session.run(None, {self._session.get_inputs()[0].name: value})
        except _ERRORS as error:
            raise DiarizationFailed(f"onnxruntime stopped: {error}") from error
        values = np.asarray(found)
        if not np.isfinite(values).all():  # clustering would never end
            raise DiarizationFailed("A speaker network returned values that are not finite.")
        return values
