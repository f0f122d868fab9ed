"""Weights out of a PyTorch checkpoint, without torch and without running what is in it."""

import pickle
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
            with archive.open(f"{root}data.pkl") as file:
                content = _Reader(file, archive, f"{root}data/").load()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise EngineUnavailable(f"{path} cannot be read as a checkpoint: {error}.") from error
    states = content.get("state_dict", content) if isinstance(content, Mapping) else {}
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

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file, encoding="utf-8")
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        """Only what this module brings along; nothing is imported."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
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
        return np.frombuffer(self._archive.read(f"{self._folder}{key}"), dtype)


def _tensor(
    storage: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_rest: object
) -> Array:
    """A tensor out of its storage; offset and strides count elements."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides), default=0) < 0 or (all(shape) and last >= len(storage)):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    steps = tuple(step * storage.itemsize for step in strides)
    view = np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
    return np.ascontiguousarray(view)
