"""The fields of a request: one table of what each does, and reading them strictly."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast, get_args

from meet_transcriber.api.openai.envelope import ApiError, refused

Format = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]
FORMATS: tuple[Format, ...] = get_args(Format)
STREAMED: tuple[Format, ...] = ("json", "text", "diarized_json")

MOST_KNOWN = 4
"""People that a request may know beforehand."""

C = TypeVar("C", bound=str)

_BRACKETS = re.compile(r"(?P<name>[^\[\]]+)\[(?P<key>[^\[\]]*)\]")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the form.

    Attributes:
        effect: what it does here, for people.
        kind: `many` arrives as `name[]` or repeated, `object` as `name[key]`.
        in_translations: whether `/v1/audio/translations` knows it, too.
        ours: whether OpenAI does not have it.
    """

    name: str
    effect: str
    kind: Literal["one", "many", "object"] = "one"
    in_translations: bool = True
    ours: bool = False


FIELDS = (
    Field("file", "The recording, in any audio or video format; MAX_UPLOAD_SIZE_MB limits it."),
    Field("model", "The configured model or a hosted model's name; others are 404."),
    Field("language", "ISO 639-1 code of the speech; without it the language is detected."),
    Field("languages", "Codes that detection may choose from.", "many"),
    Field("keywords", "Words and names to expect, one each.", "many"),
    Field("hotwords", "The same, separated by commas.", ours=True),
    Field("prompt", "Text that counts as what was said before."),
    Field("temperature", "0 to 1. Decoding begins at 0 and rises only where it goes wrong, so "
          "more than 0 changes nothing and comes back in `warnings`."),
    Field("response_format", f"{', '.join(FORMATS)}; translations have no diarized_json."),
    Field("timestamp_granularities", "word, segment or both, with verbose_json; segment unset.",
          "many", in_translations=False),
    Field("include", "logprobs, with json: ln(probability) of each word, null where the engine "
          "gives none.", "many", in_translations=False),
    Field("chunking_strategy", "auto or server_vad: loudness is evened out and cuts lie in "
          "silence anyway. Other thresholds than OpenAI's defaults are refused.", "object",
          in_translations=False),
    Field("stream", "Server-sent events: text as parts are finished, speakers at the end. With "
          "json, text and diarized_json.", in_translations=False),
    Field("diarization", "true finds speakers for text, srt, vtt and verbose_json, too; "
          "diarized_json always does.", ours=True),
    Field("num_speakers", "How many people speak.", ours=True),
    Field("expected_speakers", "Another name of num_speakers.", ours=True),
    Field("min_speakers", "At least so many people speak.", ours=True),
    Field("max_speakers", "At most so many people speak.", ours=True),
    Field("known_speaker_names", f"Names of up to {MOST_KNOWN} people who may speak, each with its "
          "reference; they stand where A, B, ... would. With diarized_json or diarization=true.",
          "many", in_translations=False),
    Field("known_speaker_references", "A data URL of 2 to 10 seconds of each of them alone, in the "
          "order of the names. Kept with the job, and nowhere else.",
          "many", in_translations=False),
)  # fmt: skip


class Form:
    """
    The fields of one request by name; an empty one counts as absent.

    Raises:
        ApiError: a field is unknown, or comes twice.
    """

    def __init__(self, sent: Iterable[tuple[str, str]], known: Sequence[Field] = FIELDS) -> None:
        self._known = {field.name: field for field in known if field.name != "file"}
        self._values: dict[str, list[str]] = {}
        self.objects: dict[str, dict[str, str]] = {}
        for name, value in sent:
            self._take(name, value)

    def _take(self, sent: str, value: str) -> None:
        parts = _BRACKETS.fullmatch(sent)
        name = parts["name"] if parts else sent
        field = self._known.get(name)
        if field is None or (parts and not _may_have(field, parts["key"])):
            raise refused(sent[:100], f"Unknown field: {sent[:100]!r}.", "unknown_parameter")
        if parts and field.kind == "object":
            self.objects.setdefault(name, {})[parts["key"]] = value
            return
        values = self._values.setdefault(name, [])
        if values and field.kind != "many":
            raise refused(name, f"{name} comes twice; send it once.")
        if value.strip():
            values.append(value.strip())

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name)) or name in self.objects

    def text(self, name: str) -> str | None:
        """The value; None where there is none."""
        values = self._values.get(name)
        return values[0] if values else None

    def many(self, name: str) -> tuple[str, ...]:
        """All values, each once, in order."""
        return tuple(dict.fromkeys(self.every(name)))

    def every(self, name: str) -> tuple[str, ...]:
        """All values in order, as they came."""
        return tuple(self._values.get(name, ()))

    def required(self, name: str) -> str:
        """The value of a field that must be there."""
        value = self.text(name)
        if value is None:
            raise missing(name)
        return value

    def choice(self, name: str, choices: Sequence[C], default: C) -> C:
        """One of these values."""
        return checked(name, self.text(name) or default, choices)

    def truth(self, name: str) -> bool | None:
        """true or false; None where nothing was said."""
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in _TRUTHS:
            raise refused(name, f"{name} is {value[:40]!r}; it must be true or false.")
        return _TRUTHS[value.lower()]

    def whole(self, name: str) -> int | None:
        """A whole number of at most three digits."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,3}", value):
            raise refused(name, f"{name} is {value[:40]!r}; it must be a whole number.")
        return int(value)

    def number(self, name: str, low: float, high: float) -> float | None:
        """A number in this range, both ends included."""
        value = self.text(name)
        return None if value is None else number(name, value, low, high)


def number(name: str, value: object, low: float, high: float) -> float:
    """The value as a number from `low` to `high`; raises ApiError where it is none."""
    try:
        found = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not low <= found <= high:
        raise refused(name, f"{name} is {str(value)[:40]!r}; it must lie from {low:g} to {high:g}.")
    return found


def checked(name: str, value: str, choices: Sequence[C]) -> C:
    """The value, if it is one of these; raises ApiError where it is not."""
    if value not in choices:
        message = f"{name} is {value[:40]!r}; use one of {', '.join(choices)}."
        raise refused(name, message)
    return cast(C, value)


def missing(name: str) -> ApiError:
    """A field that must be there is not."""
    return refused(name, f"The field {name} is missing.", "missing_required_parameter")


def _may_have(field: Field, key: str) -> bool:
    """Whether `name[key]` is a way to send the field; arrays come as `name[]` or `name[0]`."""
    if field.kind == "object":
        return bool(key)
    return field.kind == "many" and (not key or key.isdecimal())
