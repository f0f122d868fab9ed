"""A network: weights from a PyTorch checkpoint, an ONNX graph, and an onnxruntime session."""

import io
import math
import pickle
import pickletools
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
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

# Storage classes of torch and what they hold (PyTorch: torch/storage.py); all little-endian.
_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8", "HalfStorage": "<f2", "IntStorage": "<i4"}

# What zipfile, pickle and the objects in a damaged pickle raise.
_DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip


def read_checkpoint(path: Path) -> dict[str, Array]:
    """
    Return the tensors of a checkpoint (a zip with a pickle in it) by their names.

    A pickle can run any code, so nothing that it names is looked up: tensors are built by this
    module, and every other object becomes an empty stand-in.

    Raises:
        EngineUnavailable: the file is no checkpoint, or holds what no tensor consists of.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (root,) = (n[: -len("data.pkl")] for n in archive.namelist() if n.endswith("/data.pkl"))
            content = _Reader(archive, root).load()
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise EngineUnavailable(f"{path} cannot be read as a checkpoint: {reason}.") from error
    states = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    if not isinstance(states, Mapping):
        states = {}
    tensors = {name: value for name, value in states.items() if isinstance(value, np.ndarray)}
    if not tensors:
        raise EngineUnavailable(f"{path} holds no tensors.")
    return tensors


class _StandIn:
    """Takes the place of an object that is of no use here."""

    def __init__(self, *_arguments: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


class _Reader(pickle.Unpickler):
    """Builds arrays and containers, and stand-ins for the rest."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        program = _stored(archive, f"{root}data.pkl")
        _check_places(program)
        super().__init__(io.BytesIO(program), encoding="utf-8")
        self._archive, self._root = archive, root
        self._storages: dict[str, bytes] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Only what this module brings along; nothing is imported."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _TensorBuilder()
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _STORAGES:
            return np.dtype(_STORAGES[name])
        return _StandIn

    def persistent_load(self, pid: Any) -> Array:
        """A storage: ("storage", type, key, place, elements), as torch.save writes them."""
        kind, dtype, key = pid[:3]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"it holds {dtype}, which is no known kind of numbers")
        if key not in self._storages:
            self._storages[key] = _stored(self._archive, f"{self._root}data/{key}")
        return np.frombuffer(self._storages[key], dtype)


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member as torch.save writes it: not compressed, so no larger than the file."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise pickle.UnpicklingError(f"{name} is compressed")
    return archive.read(name)


def _check_places(program: bytes) -> None:
    """A pickle's memory is as large as the highest place that it names, up to 32 GB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of text that is escaped in odd ways
        for opcode, place, _ in pickletools.genops(program):
            if opcode.name in {"PUT", "LONG_BINPUT"} and not 0 <= int(place or 0) < len(program):
                raise pickle.UnpicklingError("it names a place that it cannot fill")


class _TensorBuilder:
    """torch._utils._rebuild_tensor_v2; a pickle cannot change it."""

    __slots__ = ()

    def __call__(
        self,
        storage: Array,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_rest: object,
    ) -> Array:
        """A tensor out of its storage; offset and strides count elements."""
        _check_reach(storage, offset, shape, strides)
        steps = tuple(step * storage.itemsize for step in strides)
        view = np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
        return np.ascontiguousarray(view)

    def __setstate__(self, _state: object) -> None:
        pass


def _check_reach(
    storage: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    """numpy reads whatever memory it is pointed to, so nothing but plain numbers gets there."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise pickle.UnpicklingError("a tensor has no storage")
    numbers = (offset, *shape, *strides)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise pickle.UnpicklingError("a tensor has an impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if math.prod(shape) > len(storage) or (all(shape) and last >= len(storage)):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")


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


CUDA = "CUDAExecutionProvider"
"""onnxruntime's name for a GPU."""
_ERRORS = (EPFail, Fail, InvalidArgument, InvalidGraph, RuntimeException)


def is_on_gpu(session: onnxruntime.InferenceSession) -> bool:
    """Whether the session got the GPU; onnxruntime goes on without it where libraries lack."""
    return CUDA in session.get_providers()


def build(build: Any, weights: Mapping[str, Array], checkpoint: Path) -> bytes:
    try:
        found: bytes = build(weights)
    except KeyError as error:
        raise EngineUnavailable(
            f"{checkpoint} is a checkpoint of another network: it has no {error}."
        ) from error
    return found


def load_session(graph: bytes, device: str) -> onnxruntime.InferenceSession:
    """One thread inside: calls run side by side instead, and never wait for each other."""
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        # with TF32, its default, one frame in 24 got another class (onnxruntime 1.27 on an H200)
        providers.insert(0, (CUDA, {"use_tf32": 0}))
    try:
        return onnxruntime.InferenceSession(graph, sess_options=options, providers=providers)
    except _ERRORS as error:
        raise EngineUnavailable(f"onnxruntime cannot load a speaker network: {error}") from error


def run(session: onnxruntime.InferenceSession, name: str, value: Array) -> Array:
    try:
        (found,) = session.run(None, {name: value})
    except _ERRORS as error:
        raise DiarizationFailed(f"onnxruntime stopped: {error}") from error
    values = np.asarray(found)
    if not np.isfinite(values).all():  # clustering would compare them without an end
        raise DiarizationFailed("A speaker network returned values that are not numbers.")
    return values
