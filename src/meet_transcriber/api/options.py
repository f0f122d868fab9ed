"""What a request asks for: the same options from a form, a query or JSON, never passed over."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from meet_transcriber.api.errors import OptionProblems
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest
from meet_transcriber.core.options import Options, speaker_hints
from meet_transcriber.core.speaker_timeline import Timeline, read
from meet_transcriber.settings import Settings

Pairs = Iterable[tuple[str, object]]
"""Names and values as they came: texts from forms and queries, anything from JSON."""

_DIGITS = 9
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if isinstance(value, str | int) and text in _TRUE + _FALSE:
        return text in _TRUE
    raise ValueError("must be true or false")


def _count(value: object) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0:
        return int(value)  # 3.0 is a whole number, in JSON at least
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= _DIGITS:
        return int(value)
    raise ValueError("must be a whole number")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("must be a string")


def _listed(value: object) -> tuple[str, ...]:
    """A list of strings as it is; one string is split at its commas."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(item.strip() for item in value if item.strip())
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    raise ValueError("must be a list of strings, or one string with commas")


def _timeline(value: object) -> Timeline:
    """A file's text, or a list of entries."""
    if isinstance(value, str | list):
        return read(value)
    raise ValueError("must be a string, or a list of objects with name, start and end")


_LISTS = ("languages", "hotwords")
_READERS: Mapping[str, Callable[[object], Any]] = {
    "language": _text,
    "languages": _listed,
    "task": _text,
    "enable_diarization": _flag,
    "num_speakers": _count,
    "min_speakers": _count,
    "max_speakers": _count,
    "word_timestamps": _flag,
    "hotwords": _listed,
    "initial_prompt": _text,
    "channels": _text,
    "speaker_timeline": _timeline,
}
_OPTIONS = frozenset(field.name for field in fields(Options))
KNOWN = (*_READERS, "url", "upload", "webhook_url")


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """What was asked, in our own terms; options that nobody named are not in it."""

    options: Mapping[str, Any]
    url: str | None = None
    upload: str | None = None
    webhook_url: str | None = None
    timeline: Timeline | None = None

    def with_defaults(self, settings: Settings) -> Options:
        """
        The options of a new job, the operator's defaults filled in.

        Raises:
            InvalidOptions: they make no sense together.
        """
        named = dict(self.options)
        named["min_speakers"], named["max_speakers"] = speaker_hints(
            named.get("num_speakers"),
            named.get("min_speakers"),
            named.get("max_speakers"),
            defaults=(settings.min_speakers, settings.max_speakers),
        )
        return Options(**named)


def read_options(pairs: Pairs, known: Iterable[str] = KNOWN) -> SubmitOptions:
    """
    Read named values; a name may end with `[]`, and a list may come in several pieces.

    A value that is empty or null counts as not given.

    Raises:
        InvalidOptions: a name is unknown, a value is not valid, or an option was given twice
            with different values; lists each problem.
    """
    values: dict[str, Any] = {}
    found: dict[str, str] = {}
    for raw, value in pairs:
        name = raw.removesuffix("[]")
        if name not in known:
            found[name] = f"Unknown option {name!r}; known options: {', '.join(known)}."
        elif value is not None and value != "":
            try:
                _put(values, name, _read(raw, value))
            except ValueError as error:
                found[name] = f"{name} {error}."
            except InvalidOptions as error:
                found[name] = str(error)
    if found:
        raise OptionProblems(list(found.items()))
    options = {name: value for name, value in values.items() if name in _OPTIONS}
    targets = (values.get(name) for name in ("url", "upload", "webhook_url", "speaker_timeline"))
    return SubmitOptions(options, *targets)


def _read(raw: str, value: object) -> object:
    if raw.endswith("[]"):
        value = value if isinstance(value, list) else [value]
    return _READERS.get(raw.removesuffix("[]"), _text)(value)


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    if name in _LISTS:
        values[name] = tuple(dict.fromkeys([*values.get(name, ()), *value]))
    elif values.setdefault(name, value) != value:
        raise ValueError(f"was given twice, as {values[name]!r} and as {value!r}")


def read_json(data: bytes) -> dict[str, object]:
    """
    A JSON object.

    Raises:
        MalformedRequest: the body is not valid JSON.
        InvalidOptions: the JSON is not an object.
    """
    try:
        value = json.loads(data, object_pairs_hook=_unrepeated)
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"The body is not valid JSON: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise InvalidOptions("The body must be a JSON object.")
    return value


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object repeats a name")
    return made
