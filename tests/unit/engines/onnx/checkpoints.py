"""Checkpoints as torch.save writes them, built from opcodes without torch."""

import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Tensor:
    """Part of a storage; offset and strides count elements."""

    key: str
    kind: str
    shape: Sequence[int]
    strides: Sequence[int]
    offset: int = 0

    def opcodes(self) -> bytes:
        """The call that rebuilds it."""
        storage = tuple_of(
            text("storage"), named("torch", self.kind), text(self.key), text("cpu"), number(0)
        )
        return called(
            named("torch._utils", "_rebuild_tensor_v2"),
            storage + pickle.BINPERSID,
            number(self.offset),
            tuple_of(*map(number, self.shape)),
            tuple_of(*map(number, self.strides)),
            pickle.NEWFALSE,
            called(named("collections", "OrderedDict")),
        )


def text(value: str) -> bytes:
    encoded = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    return pickle.INT + f"{value}\n".encode()


def named(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def called(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + pickle.REDUCE


def dictionary(items: Mapping[str, bytes]) -> bytes:
    pairs = (text(name) + value + pickle.SETITEM for name, value in items.items())
    return pickle.EMPTY_DICT + b"".join(pairs)


def program(content: bytes) -> bytes:
    return pickle.PROTO + b"\x02" + content + pickle.STOP


def write(
    path: Path,
    content: bytes,
    storages: Mapping[str, npt.NDArray[Any]],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """A file whose pickle pushes `content`."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program(content))
        for key, values in storages.items():
            archive.writestr(f"archive/data/{key}", values.tobytes())
    return path


def small(path: Path) -> Path:
    """One tensor, `bias`, of three numbers."""
    values = np.array([1.5, -2.0, 4.0], np.float32)
    tensor = Tensor("0", "FloatStorage", [3], [1])
    return write(path, dictionary({"bias": tensor.opcodes()}), {"0": values})
