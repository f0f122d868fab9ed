"""Requests of OpenAI's clients: models, and fields checked against what this server supports."""

import base64
import binascii
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic.fields import FieldInfo

from meet_transcriber.api.openai.errors import ApiError, refused
from meet_transcriber.core.edits import LONGEST_NAME
from meet_transcriber.core.errors import InvalidAudio, InvalidOptions
from meet_transcriber.core.languages import parse_language
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.options import MAX_SPEAKERS, Options, Task, speaker_hints
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.core.voices import (
    KNOWN_SPEAKERS,
    LONGEST_REFERENCE_SECONDS,
    SHORTEST_REFERENCE_SECONDS,
    Reference,
    References,
)
from meet_transcriber.settings import Settings

ALIASES = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)
"""Names of OpenAI's own models; each stands for the configured one."""

Format = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]
FORMATS: tuple[Format, ...] = get_args(Format)
STREAMED: tuple[Format, ...] = ("json", "text", "diarized_json")
MAX_KNOWN_SPEAKERS = 4

_BRACKETS = re.compile(r"(?P<name>[^\[\]]+)\[(?P<key>[^\[\]]*)\]")


class ModelCatalogue:
    """The names that `model` may have: the configured model's, and those of hosted models."""

    def __init__(self, settings: Settings, created: int) -> None:
        """
        Args:
            created: seconds since 1970, the creation time of every model.
        """
        name = settings.whisper_model.rstrip("/").rpartition("/")[2]  # shows no path
        self._names = (name, f"whisper-{name}", *ALIASES)
        self._created = created

    def listing(self) -> dict[str, Any]:
        """OpenAI's list of models."""
        return {"object": "list", "data": [self.entry(name) for name in self._names]}

    def entry(self, name: str) -> dict[str, Any]:
        """
        OpenAI's object for a model.

        Raises:
            ApiError: 404, there is no such model.
        """
        if name not in self._names:
            names = ", ".join(self._names)
            message = f"The model {name[:100]!r} does not exist here; there are {names}."
            raise ApiError(404, message, code="model_not_found", param="model")
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "meet-transcriber",
        }


# -- the form ----------------------------------------------------------------------------------


def _check_chunking(value: object) -> object:
    """Accept `auto`, and `server_vad` with its defaults: both are what is done anyway."""
    name = "chunking_strategy"
    if value == "auto":
        return value
    try:  # some clients send a JSON object, others one field per key
        wanted = dict(value if isinstance(value, Mapping) else json.loads(str(value)))
    except (ValueError, TypeError, RecursionError) as error:
        raise refused(name, f"{name} is neither auto nor a JSON object.") from error
    if wanted.pop("type", None) != "server_vad":
        raise refused(name, f"{name} must be auto or have the type server_vad.")
    for key, given in wanted.items():
        _check_vad(f"{name}[{key}]", key, given)
    return value


_VAD_DEFAULTS = {"prefix_padding_ms": 300.0, "silence_duration_ms": 200.0, "threshold": 0.5}
_VAD_LIMIT = 1e6


def _check_vad(name: str, key: str, value: object) -> None:
    if key not in _VAD_DEFAULTS:
        raise refused(name[:100], f"Unknown field: {name[:100]!r}.", "unknown_parameter")
    high = 1.0 if key == "threshold" else _VAD_LIMIT
    if validate_number(name, value, 0.0, high) != _VAD_DEFAULTS[key]:
        message = f"{name} cannot be changed here; leave it out or send {_VAD_DEFAULTS[key]:g}."
        raise refused(name, message, "unsupported_value")


def validate_number(name: str, value: object, low: float, high: float) -> float:
    """The value as a number from `low` to `high`; raises ApiError for anything else."""
    try:
        found = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not low <= found <= high:
        raise refused(name, f"{name} is {str(value)[:40]!r}; it must be from {low:g} to {high:g}.")
    return found


def _language(value: str) -> str:
    try:
        return parse_language(value)
    except InvalidOptions as error:
        raise ValueError(str(error)) from error


Language = Annotated[str, BeforeValidator(_language)]
SpeakerCount = Annotated[int, Field(ge=1, le=MAX_SPEAKERS)]


class TranslationForm(BaseModel):
    """The fields of a translation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(
        json_schema_extra={"format": "binary"},
        description="The recording, in any audio or video format; MAX_UPLOAD_SIZE_MB limits it.",
    )
    model: str = Field(
        min_length=1,
        examples=["whisper-1"],
        description="The configured model or a hosted model's name; others are 404.",
    )
    language: Language | None = Field(
        None, description="ISO 639-1 code of the speech; without it the language is detected."
    )
    languages: tuple[Language, ...] = Field((), description="Codes that detection may choose from.")
    keywords: tuple[str, ...] = Field((), description="Words and names to expect, one each.")
    hotwords: str | None = Field(None, description="The same, separated by commas.")
    prompt: str | None = Field(None, description="Text that counts as said before the recording.")
    temperature: float | None = Field(
        None,
        ge=0,
        le=1,
        description="0 to 1. Decoding begins at 0 and rises only where it goes wrong, so more "
        "than 0 changes nothing and is reported in `warnings`.",
    )
    response_format: Format = Field(
        "json", description=f"{', '.join(FORMATS)}; translations have no diarized_json."
    )
    diarization: bool | None = Field(
        None,
        description="true finds speakers for text, srt, vtt and verbose_json, too; diarized_json "
        "always does.",
    )
    num_speakers: SpeakerCount | None = Field(None, description="Number of speakers.")
    expected_speakers: SpeakerCount | None = Field(None, description="Same as num_speakers.")
    min_speakers: SpeakerCount | None = Field(None, description="Minimum number of speakers.")
    max_speakers: SpeakerCount | None = Field(None, description="Maximum number of speakers.")


class TranscriptionForm(TranslationForm):
    """The fields of a transcription; defaults apply to translations, too."""

    timestamp_granularities: tuple[Literal["word", "segment"], ...] = Field(
        (), description="word, segment or both, with verbose_json; segment if left out."
    )
    include: tuple[Literal["logprobs"], ...] = Field(
        (), description="logprobs, with json: ln(probability) of each word; null if unknown."
    )
    chunking_strategy: Annotated[
        Any, PlainValidator(_check_chunking, json_schema_input_type=str)
    ] = Field(
        None,
        description="auto or server_vad: loudness is evened out and cuts lie in silence anyway. "
        "Other thresholds than OpenAI's defaults are refused.",
    )
    stream: bool = Field(
        False,
        description="Server-sent events: text as parts are finished, speakers at the end. With "
        "json, text and diarized_json.",
    )
    known_speaker_names: tuple[str, ...] = Field(
        (),
        description=f"Names of up to {MAX_KNOWN_SPEAKERS} people who may speak, each with its "
        "reference; they replace A, B, .... With diarized_json or diarization=true.",
    )
    known_speaker_references: tuple[str, ...] = Field(
        (),
        description="A data URL of 2 to 10 seconds of each of them alone, in the order of the "
        "names. Stored with the job only.",
    )


FIELDS: Mapping[str, FieldInfo] = TranscriptionForm.model_fields
LISTS = frozenset(name for name, field in FIELDS.items() if field.default == ())
"""Fields that are sent as `name[]`, or repeated."""
OBJECTS = frozenset({"chunking_strategy"})
"""Fields that are sent as `name[key]`, or as JSON."""
NOT_OF_OPENAI = frozenset(
    {"hotwords", "diarization", "min_speakers", "max_speakers", "num_speakers", "expected_speakers"}
)


def fields_of(task: Task) -> Mapping[str, FieldInfo]:
    """The fields that an endpoint accepts."""
    return (TranscriptionForm if task == "transcribe" else TranslationForm).model_fields


def parse_form(sent: Iterable[tuple[str, str]], task: Task = "transcribe") -> TranscriptionForm:
    """
    Parse the fields of a request but the file; an empty one counts as absent.

    Raises:
        ApiError: a field is unknown, missing, repeated or invalid.
    """
    known = {*fields_of(task)} - {"file"}
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for name, value in sent:
        _collect(values, seen, known, name, value.strip())
    try:
        return TranscriptionForm.model_validate({"file": "", **values})
    except ValidationError as error:
        raise _as_api_error(error) from error


def _collect(
    values: dict[str, Any], seen: set[str], known: set[str], sent: str, value: str
) -> None:
    parts = _BRACKETS.fullmatch(sent)
    name, key = (parts["name"], parts["key"]) if parts else (sent, None)
    if name not in known or (key is not None and not _may_have(name, key)):
        raise refused(sent[:100], f"Unknown field: {sent[:100]!r}.", "unknown_parameter")
    earlier = values.get(name)
    if name in LISTS:
        values.setdefault(name, []).extend([value] if value else [])
    elif name in seen and (key is None or not isinstance(earlier, dict)):
        raise refused(name, f"{name} was sent twice; send it once.")
    elif key is not None:
        values[name] = {**(earlier or {}), key: value}
    elif value:
        values[name] = value
    seen.add(name)


def _may_have(name: str, key: str) -> bool:
    """Whether `name[key]` is a way to send the field; lists are sent as `name[]` or `name[0]`."""
    return bool(key) if name in OBJECTS else name in LISTS and (not key or key.isdecimal())


def _as_api_error(error: ValidationError) -> ApiError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "missing":
        return missing(name)
    why = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
    return refused(name, f"{name} is {str(first['input'])[:40]!r}: {why}")


def missing(name: str) -> ApiError:
    """The error of a required field that was not sent."""
    return refused(name, f"The field {name} is missing.", "missing_required_parameter")


# -- known speakers ----------------------------------------------------------------------------

NAMES, REFERENCES = "known_speaker_names", "known_speaker_references"

_ROUNDING_SECONDS = 0.1  # codecs pad, and a cut is never exact
_REFERENCE_BYTES = 11 * 48_000 * 2 * 2 * 4 // 3
"""Limit on a data URL: 11 seconds of WAV at 48 kHz, in stereo, 16 bit, in base64."""

REFERENCES_BYTES = (MAX_KNOWN_SPEAKERS + 1) * _REFERENCE_BYTES
"""One more than allowed is read, so that its refusal can name the reason."""

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)


def read_known_speakers(form: TranscriptionForm, diarization: bool) -> tuple[Reference, ...]:
    """
    The known speakers of a form; the audio of their references is not checked yet.

    Raises:
        ApiError: 400 with the field that is invalid.
    """
    names, references = form.known_speaker_names, form.known_speaker_references
    if not names and not references:
        return ()
    if not diarization:
        name = NAMES if names else REFERENCES
        raise refused(name, f"{name} needs diarized_json or diarization=true.")
    if len(names) != len(references):
        name = NAMES if len(names) < len(references) else REFERENCES
        message = f"There are {len(names)} names but {len(references)} references."
        raise refused(name, message)
    _check_names(names)
    return tuple(map(_reference, names, references))


def _check_names(names: tuple[str, ...]) -> None:
    if len(names) > MAX_KNOWN_SPEAKERS:
        message = f"There are {len(names)} known speakers; the limit is {MAX_KNOWN_SPEAKERS}."
        raise refused(NAMES, message)
    if len({name.casefold() for name in names}) < len(names):
        raise refused(NAMES, "Two known speakers have the same name.")
    if odd := [name for name in names if len(name) > LONGEST_NAME or not name.isprintable()]:
        message = f"{odd[0][:40]!r} is not a name of at most {LONGEST_NAME} printable characters."
        raise refused(NAMES, message)


def _reference(name: str, url: str) -> Reference:
    if len(url) > _REFERENCE_BYTES:
        raise _refused(name, f"has more than {_REFERENCE_BYTES >> 10} KiB; send 2 to 10 seconds")
    head = _DATA_URL.match(url)
    if head is None:
        raise _refused(name, "is not a data URL such as data:audio/wav;base64,...")
    audio = url[head.end() :]
    try:
        # Checked only; it is stored as it came, and decoded by the task that needs it.
        base64.b64decode(audio, validate=True)
    except binascii.Error as error:
        raise _refused(name, "is not base64") from error
    return Reference(name, audio)


def check_lengths(people: tuple[Reference, ...], probe: Callable[[BinaryIO], MediaInfo]) -> None:
    """Raise ApiError if a reference is not audio of 2 to 10 seconds."""
    for person in people:
        try:
            found = probe(io.BytesIO(base64.b64decode(person.audio)))
        except InvalidAudio as error:
            raise _refused(person.name, f"cannot be used ({error})") from error
        seconds = found.duration
        shortest = SHORTEST_REFERENCE_SECONDS - _ROUNDING_SECONDS
        longest = LONGEST_REFERENCE_SECONDS + _ROUNDING_SECONDS
        if seconds is not None and not shortest <= seconds <= longest:
            raise _refused(person.name, f"has {seconds:.1f} seconds; send 2 to 10")


def as_extras(people: tuple[Reference, ...]) -> dict[str, bytes]:
    """The known speakers as an object of their job; empty without any."""
    if not people:
        return {}
    return {KNOWN_SPEAKERS: json.dumps(to_plain(References(people))).encode()}


def _refused(name: str, why: str) -> ApiError:
    return refused(REFERENCES, f"The reference of {name[:40]!r} {why}.")


# -- the request -------------------------------------------------------------------------------

_SPEAKERS = ("num_speakers", "expected_speakers", "min_speakers", "max_speakers")


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """
    A request that can be fulfilled.

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


def read_request(
    sent: list[tuple[str, str]], task: Task, catalogue: ModelCatalogue, settings: Settings
) -> TranscriptionRequest:
    """
    Read the fields of a request.

    Raises:
        ApiError: 400 with the field that is refused, 404 for an unknown model.
        InvalidOptions: fields contradict each other.
    """
    form = parse_form(sent, task)
    catalogue.entry(form.model)
    notes: tuple[TranscriptWarning, ...] = ()
    # Refusing it would stop clients that always send their default.
    if form.temperature:
        about = f"temperature {form.temperature:g} changed nothing: decoding always begins at 0."
        notes = (TranscriptWarning("temperature_ignored", about),)
    _check_format(form, task)
    diarization = _diarization(form, settings)
    return TranscriptionRequest(
        options=_options(form, task, diarization, settings),
        form=form.response_format,
        words="word" in form.timestamp_granularities,
        segments="segment" in (form.timestamp_granularities or ("segment",)),
        logprobs=bool(form.include),
        stream=form.stream,
        notes=notes,
        known=read_known_speakers(form, diarization),
    )


def _check_format(form: TranscriptionForm, task: Task) -> None:
    """Refuse what the response format cannot contain."""
    written = form.response_format
    if written == "diarized_json" and task == "translate":
        raise refused("response_format", "Translations have no diarized_json.")
    if form.timestamp_granularities and written != "verbose_json":
        name = "timestamp_granularities"
        raise refused(name, f"{name} needs response_format=verbose_json.")
    if form.include and written != "json":
        raise refused("include", "logprobs needs response_format=json.")
    if form.stream and written not in STREAMED:
        raise refused("stream", f"{written} is not streamed; use {', '.join(STREAMED)}.")


def _options(form: TranscriptionForm, task: Task, diarization: bool, settings: Settings) -> Options:
    hotwords = (form.hotwords or "").split(",")
    speakers = form.num_speakers if form.expected_speakers is None else form.expected_speakers
    fewest, most = form.min_speakers, form.max_speakers
    if diarization:
        defaults = (settings.min_speakers, settings.max_speakers)
        fewest, most = speaker_hints(speakers, fewest, most, defaults)
    words = (*form.keywords, *(word.strip() for word in hotwords if word.strip()))
    return Options(
        language=form.language,
        languages=form.languages,
        task=task,
        enable_diarization=diarization,
        num_speakers=speakers,
        min_speakers=fewest,
        max_speakers=most,
        hotwords=tuple(dict.fromkeys(words)),
        initial_prompt=form.prompt,
    )


def _diarization(form: TranscriptionForm, settings: Settings) -> bool:
    """Whether speakers are requested; refuses it where this server cannot find them."""
    written, asked = form.response_format, form.diarization
    if written == "diarized_json" and asked is False:
        raise refused("diarization", "diarized_json needs diarization.")
    wanted = written == "diarized_json" or bool(asked)
    given = [name for name in _SPEAKERS if name in form.model_fields_set]
    if given and not wanted:
        raise refused(given[0], f"{given[0]} needs diarized_json or diarization=true.")
    if wanted and settings.diarization_engine == "none":
        param = "diarization" if asked else "response_format"
        message = "Diarization is off on this server (DIARIZATION_ENGINE=none)."
        raise refused(param, message, "unsupported_value")
    if {"num_speakers", "expected_speakers"} <= {*given}:
        raise refused("expected_speakers", "Send num_speakers or expected_speakers, not both.")
    return wanted
