"""Weights out of a PyTorch checkpoint, without torch and without running what is in it."""

import io
import math
import pickle
import pickletools
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.errors import EngineUnavailable

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
