"""Converts frozen dataclasses to JSON-ready values and back, driven by their type hints.

A reader is built once per type. `core` and the decoder's sandbox depend on the standard library
only, so that this is not pydantic; stores use that for their records (`stores/base.py`).
"""

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from meet_transcriber.core.errors import StorageError, TranscriptionError

T = TypeVar("T")

MAX_EXACT_INTEGER = 2**53
"""Larger integers do not survive as a float."""

_ATOMS: frozenset[type] = frozenset({str, int, float, bool, type(None)})
_Reader = Callable[[Any], Any]


def to_plain(value: object) -> Any:
    """Convert a value to dicts, lists, strings, numbers, booleans and None."""
    kind: Any = type(value)
    if kind in _ATOMS:
        return value
    if names := _field_names(kind):
        plain = {name: getattr(value, name) for name in names}
        for name, item in plain.items():
            if type(item) not in _ATOMS:
                plain[name] = to_plain(item)
        return plain
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], data: object) -> T:
    """
    Build a value of `kind` from what `to_plain` returned.

    Unknown keys are ignored, so that an older version can read what a newer one wrote; a
    missing key takes the field's default.

    Raises:
        StorageError: the data does not fit; names the place.
    """
    try:
        return cast(T, _reader(cast(Any, kind))(data))
    except _Misfit as misfit:
        place = kind.__name__ + "".join(reversed(misfit.steps))
        raise StorageError(
            f"Stored data does not fit at {place}: {misfit.reason}."
        ) from misfit.__cause__


def to_json(value: object) -> bytes:
    """Encode a value as JSON of ASCII characters."""
    return json.dumps(to_plain(value)).encode()


def from_json(kind: type[T], text: str | bytes) -> T:
    """Decode what `to_json` returned; raises StorageError, which names the place."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise StorageError(f"A stored {kind.__name__} is damaged: {error}.") from error
    return from_plain(kind, data)


class _Misfit(Exception):
    """Data that does not fit; each level adds its step of the path while it propagates."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []


def _wrong_type(data: object) -> _Misfit:
    return _Misfit(
        f"{str(data)[:60]!r} has the wrong type; "
        "the file is damaged or was not written by this program"
    )


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


@cache
def _field_readers(kind: type) -> tuple[tuple[str, frozenset[type], _Reader], ...]:
    """Each field's name, the types whose values need no conversion, and a reader for others."""
    hints = get_type_hints(kind).items()
    return tuple((name, _atoms_of(hint), _reader(hint)) for name, hint in hints)


def _atoms_of(hint: Any) -> frozenset[type]:
    is_union = get_origin(hint) in (Union, types.UnionType)
    return _ATOMS.intersection(get_args(hint) if is_union else (hint,))


@cache
def _reader(hint: Any) -> _Reader:
    origin = get_origin(hint)
    if is_dataclass(hint):
        return _dataclass_reader(cast(type, hint))
    if origin in (Union, types.UnionType):
        return _union_reader(get_args(hint))
    if origin is tuple:
        return _tuple_reader(_reader(get_args(hint)[0]))
    if origin is Mapping or origin is dict:
        return _mapping_reader(_reader(get_args(hint)[1]))
    if origin is Literal:
        return _literal_reader(get_args(hint))
    return _float if hint is float else _atom_reader(hint)


def _dataclass_reader(kind: type) -> _Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise _wrong_type(data)
        given = {}
        # Resolved at the first call, because a class may contain values of its own type.
        for name, atoms, reader in _field_readers(kind):
            if name in data:
                value = data[name]
                # Most values are atoms; a call for each of them would dominate.
                given[name] = value if type(value) in atoms else _item(f".{name}", reader, value)
        try:
            return kind(**given)
        except (TypeError, ValueError, TranscriptionError) as error:
            raise _Misfit(str(error).rstrip(".")) from error

    return read


def _mapping_reader(item: _Reader) -> _Reader:
    def read(data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise _wrong_type(data)
        return {key: _item(f".{key}", item, value) for key, value in data.items()}

    return read


def _item(step: str, reader: _Reader, value: Any) -> Any:
    try:
        return reader(value)
    except _Misfit as misfit:
        misfit.steps.append(step)
        raise


def _tuple_reader(item: _Reader) -> _Reader:
    def read(data: Any) -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            raise _wrong_type(data)
        found: list[Any] = []
        try:
            found.extend(map(item, data))
        except _Misfit as misfit:
            misfit.steps.append(f"[{len(found)}]")
            raise
        return tuple(found)

    return read


def _union_reader(choices: tuple[Any, ...]) -> _Reader:
    (only,) = (choice for choice in choices if choice is not type(None))
    reader = _reader(only)

    def read(data: Any) -> Any:
        return None if data is None and type(None) in choices else reader(data)

    return read


def _literal_reader(choices: tuple[Any, ...]) -> _Reader:
    def read(data: Any) -> Any:
        if data not in choices:
            raise _wrong_type(data)
        return data

    return read


def _atom_reader(kind: Any) -> _Reader:
    def read(data: Any) -> Any:
        # To Python, true is an integer.
        if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
            raise _wrong_type(data)
        return data

    return read


def _float(data: Any) -> float:
    if type(data) is float:
        return data
    if not isinstance(data, int | float) or isinstance(data, bool):
        raise _wrong_type(data)
    # A float could not hold it exactly, and would be written back as another number.
    if isinstance(data, int) and abs(data) > MAX_EXACT_INTEGER:
        raise _wrong_type(data)
    return float(data)
