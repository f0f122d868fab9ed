"""Requests of OpenAI's clients: fields, checked against what this installation can do."""

import base64
import binascii
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast, get_args

from meet_transcriber.api.openai.errors import ApiError, refused
from meet_transcriber.api.openai.models import Catalogue
from meet_transcriber.core.edits import LONGEST_NAME
from meet_transcriber.core.errors import InvalidAudio, InvalidOptions
from meet_transcriber.core.languages import parse_language
from meet_transcriber.core.options import Options, Task, speaker_hints
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.core.voices import (
    KNOWN_SPEAKERS,
    LONGEST_REFERENCE_SECONDS,
    SHORTEST_REFERENCE_SECONDS,
    Reference,
    References,
)
from meet_transcriber.ports.engines import AudioProber
from meet_transcriber.settings import Settings

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
        return None if value is None else checked_number(name, value, low, high)


def checked_number(name: str, value: object, low: float, high: float) -> float:
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


NAMES, REFERENCES = "known_speaker_names", "known_speaker_references"

_ROUNDING_SECONDS = 0.1  # codecs pad, and a cut is never exact
_REFERENCE_BYTES = 11 * 48_000 * 2 * 2 * 4 // 3
"""Of a data URL: eleven seconds of WAV at 48 kHz, in stereo, 16 bit, in base64."""

REFERENCES_BYTES = (MOST_KNOWN + 1) * _REFERENCE_BYTES
"""So many are read that one too many is refused for what it is."""

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)


def known_speakers(form: Form, diarization: bool) -> tuple[Reference, ...]:
    """
    The people of a form, their references not yet looked at.

    Raises:
        ApiError: 400 with the field that cannot be taken.
    """
    names, references = form.every(NAMES), form.every(REFERENCES)
    if not names and not references:
        return ()
    if not diarization:
        name = NAMES if names else REFERENCES
        raise refused(name, f"{name} needs diarized_json or diarization=true.")
    if len(names) != len(references):
        name = NAMES if len(names) < len(references) else REFERENCES
        message = f"There are {len(names)} names and {len(references)} references; send as many."
        raise refused(name, message)
    if len(names) > MOST_KNOWN:
        raise refused(NAMES, f"At most {MOST_KNOWN} speakers can be known; there are {len(names)}.")
    _check_names(names)
    return tuple(map(_reference, names, references))


def _check_names(names: tuple[str, ...]) -> None:
    if len({name.casefold() for name in names}) < len(names):
        raise refused(NAMES, "Two known speakers have the same name.")
    if odd := [name for name in names if len(name) > LONGEST_NAME or not name.isprintable()]:
        message = f"{odd[0][:40]!r} is no name of up to {LONGEST_NAME} printable characters."
        raise refused(NAMES, message)


def _reference(name: str, url: str) -> Reference:
    if len(url) > _REFERENCE_BYTES:
        raise _refused(name, f"has more than {_REFERENCE_BYTES >> 10} KiB; send 2 to 10 seconds")
    head = _DATA_URL.match(url)
    if head is None:
        raise _refused(name, "is not a data URL such as data:audio/wav;base64,...")
    audio = url[head.end() :]
    try:
        base64.b64decode(audio, validate=True)
    except binascii.Error as error:
        raise _refused(name, "is not base64") from error
    return Reference(name, audio)


def check_lengths(people: tuple[Reference, ...], prober: AudioProber) -> None:
    """Raise ApiError where a reference is no audio of 2 to 10 seconds."""
    for person in people:
        try:
            found = prober.probe(io.BytesIO(base64.b64decode(person.audio)))
        except InvalidAudio as error:
            raise _refused(person.name, f"cannot be used ({error})") from error
        seconds = found.duration
        shortest = SHORTEST_REFERENCE_SECONDS - _ROUNDING_SECONDS
        longest = LONGEST_REFERENCE_SECONDS + _ROUNDING_SECONDS
        if seconds is not None and not shortest <= seconds <= longest:
            raise _refused(person.name, f"has {seconds:.1f} seconds; send 2 to 10")


def stored(people: tuple[Reference, ...]) -> dict[str, bytes]:
    """The people as an object of their job; none where nobody is known."""
    if not people:
        return {}
    return {KNOWN_SPEAKERS: json.dumps(to_plain(References(people))).encode()}


def _refused(name: str, why: str) -> ApiError:
    return refused(REFERENCES, f"The reference of {name[:40]!r} {why}.")


_VAD_DEFAULTS = {"prefix_padding_ms": 300.0, "silence_duration_ms": 200.0, "threshold": 0.5}
_SPEAKERS = ("num_speakers", "expected_speakers", "min_speakers", "max_speakers")
_VAD_LIMIT = 1e6


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """A request that can be fulfilled.

    Attributes:
        words, segments: whether `verbose_json` has their times.
        logprobs: whether each word's log probability is wanted.
        notes: what was asked and changes nothing.
        known: people who may speak.
    """

    options: Options
    form: Format = "json"
    words: bool = False
    segments: bool = True
    logprobs: bool = False
    stream: bool = False
    notes: tuple[TranscriptWarning, ...] = ()
    known: tuple[Reference, ...] = ()


def read(
    sent: list[tuple[str, str]], task: Task, catalogue: Catalogue, settings: Settings
) -> TranscriptionRequest:
    """
    Read the fields of a request.

    Raises:
        ApiError: 400 with the field that cannot be taken, 404 for an unknown model.
        InvalidOptions: fields contradict each other.
    """
    known = [field for field in FIELDS if task == "transcribe" or field.in_translations]
    form = Form(sent, known)
    catalogue.entry(form.required("model"))
    written = form.choice("response_format", FORMATS, "json")
    if written == "diarized_json" and task == "translate":
        raise refused("response_format", "Translations have no diarized_json.")
    _check_chunking(form)
    granularities = _granularities(form, written)
    diarization = _diarization(form, written, settings)
    return TranscriptionRequest(
        options=_options(form, task, diarization, settings),
        form=written,
        words="word" in granularities,
        segments="segment" in granularities,
        logprobs=_logprobs(form, written),
        stream=_stream(form, written),
        notes=_notes(form),
        known=known_speakers(form, diarization),
    )


def _options(form: Form, task: Task, diarization: bool, settings: Settings) -> Options:
    hotwords = (form.text("hotwords") or "").split(",")
    expected = form.whole("expected_speakers")
    speakers = form.whole("num_speakers") if expected is None else expected
    fewest, most = form.whole("min_speakers"), form.whole("max_speakers")
    if diarization:
        defaults = (settings.min_speakers, settings.max_speakers)
        fewest, most = speaker_hints(speakers, fewest, most, defaults)
    return Options(
        language=_language("language", form.text("language")),
        languages=tuple(_code("languages", code) for code in form.many("languages")),
        task=task,
        enable_diarization=diarization,
        num_speakers=speakers,
        min_speakers=fewest,
        max_speakers=most,
        hotwords=(*form.many("keywords"), *(word.strip() for word in hotwords if word.strip())),
        initial_prompt=form.text("prompt"),
    )


def _language(name: str, value: str | None) -> str | None:
    return None if value is None else _code(name, value)


def _code(name: str, value: str) -> str:
    try:
        return parse_language(value)
    except InvalidOptions as error:
        raise refused(name, f"{name}: {error}") from error


def _diarization(form: Form, written: Format, settings: Settings) -> bool:
    """Whether speakers are wanted, and can be had."""
    asked = form.truth("diarization")
    if written == "diarized_json" and asked is False:
        raise refused("diarization", "diarized_json cannot do without diarization.")
    wanted = written == "diarized_json" or bool(asked)
    if not wanted and (idle := [name for name in _SPEAKERS if name in form]):
        raise refused(idle[0], f"{idle[0]} needs diarized_json or diarization=true.")
    if wanted and settings.diarization_engine == "none":
        param = "diarization" if asked else "response_format"
        message = "Speakers are not told apart on this server (DIARIZATION_ENGINE=none)."
        raise refused(param, message, "unsupported_value")
    if "num_speakers" in form and "expected_speakers" in form:
        raise refused("expected_speakers", "Send num_speakers or expected_speakers, not both.")
    return wanted


def _granularities(form: Form, written: Format) -> tuple[str, ...]:
    name = "timestamp_granularities"
    asked = form.many(name)
    if asked and written != "verbose_json":
        raise refused(name, f"{name} needs response_format=verbose_json.")
    return tuple(checked(name, each, ("word", "segment")) for each in asked) or ("segment",)


def _logprobs(form: Form, written: Format) -> bool:
    asked = [checked("include", each, ("logprobs",)) for each in form.many("include")]
    if asked and written != "json":
        raise refused("include", "logprobs needs response_format=json.")
    return bool(asked)


def _stream(form: Form, written: Format) -> bool:
    stream = bool(form.truth("stream"))
    if stream and written not in STREAMED:
        raise refused("stream", f"{written} is not streamed; use {', '.join(STREAMED)}.")
    return stream


def _notes(form: Form) -> tuple[TranscriptWarning, ...]:
    temperature = form.number("temperature", 0.0, 1.0)
    if not temperature:
        return ()
    message = f"temperature {temperature:g} changed nothing: decoding always begins at 0."
    return (TranscriptWarning("temperature_ignored", message),)


# -- chunking ----------------------------------------------------------------------------------


def _check_chunking(form: Form) -> None:
    """Take `auto` and `server_vad` with its defaults, which is what is done anyway."""
    name = "chunking_strategy"
    plain = form.text(name)
    if plain == "auto" and name not in form.objects:
        return
    wanted: dict[str, object] = {**(_object(name, plain) if plain else {})}
    wanted |= form.objects.get(name, {})
    if not wanted and plain is None:
        return
    if wanted.pop("type", None) != "server_vad":
        raise refused(name, f"{name} must be auto or have the type server_vad.")
    for key, value in wanted.items():
        _check_vad(f"{name}[{key}]", key, value)


def _check_vad(name: str, key: str, value: object) -> None:
    if key not in _VAD_DEFAULTS:
        raise refused(name[:100], f"Unknown field: {name[:100]!r}.", "unknown_parameter")
    high = 1.0 if key == "threshold" else _VAD_LIMIT
    if checked_number(name, value, 0.0, high) != _VAD_DEFAULTS[key]:
        message = f"{name} cannot be changed here; leave it out or send {_VAD_DEFAULTS[key]:g}."
        raise refused(name, message, "unsupported_value")


def _object(name: str, text: str) -> dict[str, object]:
    """A JSON object, as some clients write it into the field."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refused(name, f"{name} is neither auto nor a JSON object.") from error
    if not isinstance(found, dict):
        raise refused(name, f"{name} is neither auto nor a JSON object.")
    return found
