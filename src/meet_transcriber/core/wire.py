"""Frozen dataclasses to JSON-ready values and back, driven by their type hints."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from meet_transcriber.core.errors import StorageError, TranscriptionError

T = TypeVar("T")

MAX_EXACT_INTEGER = 2**53
"""Larger integers do not survive as a float."""


def to_plain(value: object) -> Any:
    """Return dicts, lists, strings, numbers, booleans and None that hold the same."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], data: object) -> T:
    """
    Build a value of `kind` from what `to_plain` returned.

    Unknown keys are passed over, so that an older version reads what a newer one wrote;
    a missing key takes the field's default.

    Raises:
        StorageError: the data does not fit; names the place.
    """
    return cast(T, _build(kind, data, kind.__name__))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(hint: Any, data: object, place: str) -> Any:
    origin = get_origin(hint)
    if is_dataclass(hint):
        return _build_dataclass(cast(type, hint), data, place)
    if origin in (Union, types.UnionType):
        return _build_union(get_args(hint), data, place)
    if origin is tuple:
        return _build_tuple(get_args(hint)[0], data, place)
    if origin is Mapping or origin is dict:
        return _build_mapping(get_args(hint)[1], data, place)
    return _build_scalar(hint, data, place)


def _build_mapping(item: Any, data: object, place: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        return cast(dict[str, Any], _checked(False, data, place))
    return {key: _build(item, value, f"{place}.{key}") for key, value in data.items()}


def _build_scalar(hint: Any, data: object, place: str) -> Any:
    if get_origin(hint) is Literal:
        return _checked(data in get_args(hint), data, place)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(_checked(abs(data) <= MAX_EXACT_INTEGER, data, place))
    fits = isinstance(data, hint) and (hint is bool or not isinstance(data, bool))
    return _checked(fits, data, place)


def _build_dataclass(kind: type, data: object, place: str) -> Any:
    if not isinstance(data, Mapping):
        return _checked(False, data, place)
    hints = _hints(kind)
    given = {
        name: _build(hint, data[name], f"{place}.{name}")
        for name, hint in hints.items()
        if name in data
    }
    try:
        return kind(**given)
    except (TypeError, ValueError, TranscriptionError) as error:
        sentence = str(error).rstrip(".")
        raise StorageError(f"Stored data does not fit at {place}: {sentence}.") from error


def _build_union(choices: tuple[Any, ...], data: object, place: str) -> Any:
    if data is None and type(None) in choices:
        return None
    (only,) = (choice for choice in choices if choice is not type(None))
    return _build(only, data, place)


def _build_tuple(item: Any, data: object, place: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        return cast(tuple[Any, ...], _checked(False, data, place))
    return tuple(_build(item, value, f"{place}[{index}]") for index, value in enumerate(data))


def _checked(fits: bool, data: object, place: str) -> Any:
    if not fits:
        raise StorageError(
            f"Stored data does not fit at {place}: {str(data)[:60]!r} has the wrong type; "
            "the file is damaged or was not written by this program."
        )
    return data
