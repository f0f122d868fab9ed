"""What a request wants: its fields, checked against what this installation can do."""

import json
from dataclasses import dataclass

from meet_transcriber.api.openai.envelope import refused
from meet_transcriber.api.openai.fields import FIELDS, FORMATS, STREAMED, Form, Format, checked
from meet_transcriber.api.openai.fields import number as checked_number
from meet_transcriber.api.openai.known_speakers import known_speakers
from meet_transcriber.api.openai.models import Catalogue
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.languages import parse_language
from meet_transcriber.core.options import Options, Task, speaker_hints
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.core.voices import Reference
from meet_transcriber.settings import Settings

_VAD_DEFAULTS = {"prefix_padding_ms": 300.0, "silence_duration_ms": 200.0, "threshold": 0.5}
_SPEAKERS = ("num_speakers", "expected_speakers", "min_speakers", "max_speakers")
_VAD_LIMIT = 1e6


@dataclass(frozen=True, slots=True)
class Asked:
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
) -> Asked:
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
    return Asked(
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
