"""Options of a submission: one model for forms, queries and JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from meet_transcriber.api.bodies import MOST_VALUES, RequestModel, too_many_values, validate
from meet_transcriber.core.edits import LONGEST_NAME
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.options import MAX_SPEAKERS, ChannelMode, Options, Task, speaker_hints
from meet_transcriber.core.speaker_timeline import Timeline, read_timeline
from meet_transcriber.settings import Settings

_DIGITS = 9


class _Repeated(list[object]):
    """The values of a name that was sent more than once."""


def _decimal(value: object) -> object:
    """The integer that a string of a form or query contains."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= _DIGITS:
        return int(value)
    return value


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _split(value: object) -> tuple[str, ...]:
    """A list of strings unchanged, a string split at commas; duplicates are dropped."""
    if isinstance(value, _Repeated):
        return tuple(dict.fromkeys(item for each in value for item in _split(each)))
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError("must be a list of strings, or one string with commas")
    return tuple(dict.fromkeys(item.strip() for item in items if item.strip()))


def _timeline(value: object) -> Timeline:
    if isinstance(value, str | list):
        try:
            return read_timeline(value)
        except InvalidOptions as error:
            raise ValueError(str(error)) from error
    raise ValueError("must be a string, or a list of objects with name, start and end")


FormBoolean = Annotated[bool, BeforeValidator(_stripped)]
FormList = Annotated[
    tuple[str, ...], BeforeValidator(_split, json_schema_input_type=list[str] | str)
]
SpeakerCount = Annotated[int, Field(strict=True, ge=1, le=MAX_SPEAKERS), BeforeValidator(_decimal)]
_Clock = Annotated[
    str,
    Field(
        pattern=r"^([0-9]+([.,][0-9]+)?|[0-9]{1,3}:[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?.*)$",
        description="Seconds, or a time such as 00:01:23.500.",
    ),
]
_Time = Annotated[float, Field(ge=0)] | _Clock


class TimelineEntry(BaseModel):
    """Speech of a participant."""

    name: str = Field(min_length=1, description=f"Who speaks; at most {LONGEST_NAME} characters.")
    start: _Time
    end: _Time


TimelineField = Annotated[
    Any,  # a Timeline, whose own schema the document has no use for
    PlainValidator(
        _timeline,
        json_schema_input_type=Annotated[list[TimelineEntry], Field(min_length=1)] | str,
    ),
]
_ABOUT_TIMELINE = (
    "Who spoke when, as recorded by a conference system: JSON, RTTM, WebVTT with names, or CSV. "
    "It is aligned with the audio; its names are applied to the voices they match."
)


class TranscriptionOptions(RequestModel):
    """How a recording is transcribed."""

    language: str | None = Field(
        None, examples=["en"], description="ISO 639-1 code of the speech; left out, it is detected."
    )
    languages: FormList | None = Field(
        None, description="Languages that detection may choose from; a string is split at commas."
    )
    task: Task | None = Field(
        "transcribe", description="Transcribe the speech, or translate it into English."
    )
    enable_diarization: FormBoolean | None = Field(True, description="Find out who spoke.")
    num_speakers: SpeakerCount | None = Field(None, description="Number of speakers, if known.")
    min_speakers: SpeakerCount | None = Field(
        None, description="Minimum number of speakers; MIN_SPEAKERS if left out."
    )
    max_speakers: SpeakerCount | None = Field(
        None, description="Maximum number of speakers; MAX_SPEAKERS if left out."
    )
    word_timestamps: FormBoolean | None = Field(
        True, description="Show the times of words; false only hides them."
    )
    hotwords: FormList | None = Field(
        None,
        description="Names and words to expect, at most 10,000 characters; a string is split at "
        "commas.",
    )
    initial_prompt: str | None = Field(
        None,
        description="Text that the engine treats as spoken before the recording; at most 10,000 "
        "characters.",
    )
    channels: ChannelMode | None = Field(
        "auto", description="Whether each channel of the recording is one speaker."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, sent: object) -> object:
        """Gather what was sent under one name, from an object or from a tuple of pairs."""
        if not isinstance(sent, Mapping | tuple):
            return sent
        values: dict[str, object] = {}
        for raw, value in sent.items() if isinstance(sent, Mapping) else sent:
            name = raw.removesuffix("[]")
            known = values.setdefault(name, None)
            if value is None or value == "":
                continue
            item = [value] if raw != name and not isinstance(value, list) else value
            earlier = known if isinstance(known, _Repeated) else [known]
            values[name] = item if known is None else _Repeated([*earlier, item])
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _merge(cls, value: object, info: ValidationInfo) -> object:
        """Accept a repeated value if it is a list, or the same each time."""
        if not isinstance(value, _Repeated) or info.field_name in {"languages", "hotwords"}:
            return value
        first, *others = value
        for other in others:
            if _as_text(other) != _as_text(first):
                raise ValueError(f"was given twice, as {first!r} and as {other!r}")
        return first

    @property
    def named(self) -> dict[str, Any]:
        """The options that were given, without null."""
        names = self.model_fields_set & TranscriptionOptions.model_fields.keys()
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def with_defaults(self, settings: Settings) -> Options:
        """
        The options of a new job, completed with the operator's defaults.

        Raises:
            InvalidOptions: the options contradict each other.
        """
        fewest, most = speaker_hints(
            self.num_speakers,
            self.min_speakers,
            self.max_speakers,
            defaults=(settings.min_speakers, settings.max_speakers),
        )
        return Options(**{**self.named, "min_speakers": fewest, "max_speakers": most})


class Submission(TranscriptionOptions):
    """Either `url` or `upload`."""

    url: str | None = Field(
        None,
        examples=["https://media.example/standup.mp3"],
        description="Where a worker fetches the recording.",
    )
    upload: str | None = Field(None, description="The id of a complete upload.")
    webhook_url: str | None = Field(
        None,
        description="Receives a signed webhook when the job ends, as Standard Webhooks defines it.",
    )
    speaker_timeline: TimelineField | None = Field(None, description=_ABOUT_TIMELINE)


class SubmissionForm(Submission):
    """Either `url` or `upload`."""

    speaker_timeline: (
        Annotated[Any, PlainValidator(_timeline, json_schema_input_type=str)] | None
    ) = Field(None, description=_ABOUT_TIMELINE)


def read_options(pairs: Iterable[tuple[str, object]]) -> Submission:
    """
    Parse names and values: strings from forms and queries, anything from JSON.

    A name may end with `[]`, and a list may be repeated.

    An empty string and null count as not given.

    Raises:
        OptionProblems: names each option that is unknown, invalid, or repeated with another value.
    """
    given = tuple(pairs)
    if len(given) > MOST_VALUES:
        raise too_many_values()
    return validate(Submission, given)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
