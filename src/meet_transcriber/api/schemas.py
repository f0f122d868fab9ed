"""
Bodies of requests and responses, as pydantic models.

A request's model parses it, describes it in the OpenAPI document and tells what is wrong with it.
A response's model only describes: `serializers` builds plain dicts that are not validated again,
as transcripts are large and statuses are polled.
"""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema

from meet_transcriber.api.bodies import OneOf, RequestModel
from meet_transcriber.api.options import Submission, SubmissionForm, TranscriptionOptions
from meet_transcriber.core.auth import Scope
from meet_transcriber.core.edits import LONGEST_FIND, LONGEST_NAME, LONGEST_TEXT
from meet_transcriber.core.voices import LONGEST_NOTE

MOST_CHANGES = 500
_DAY_SECONDS = 86_400


def _true(value: object) -> object:
    """Refuse 1, which Literal[True] accepts."""
    if value is not True:
        raise ValueError("must be true")
    return value


def _example(value: object, **more: Any) -> Any:
    return Field(examples=[value], **more)


Integer = Annotated[int, Field(strict=True)]
JustTrue = Annotated[Literal[True], BeforeValidator(_true)]
_DATE_TIME: dict[str, Any] = {"format": "date-time"}
Moment = Annotated[str, _example("2026-11-24T09:00:00.000Z", json_schema_extra=_DATE_TIME)]
_ID = "0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"
Id = Annotated[str, _example(_ID)]
JobId = Annotated[str, _example(_ID, description="The job's id.")]
FileName = Annotated[str, _example("standup.mp3", description="The recording's file name.")]
Label = Annotated[str, _example("SPEAKER_00", description="A speaker's label.")]
PersonName = Annotated[
    str, _example("Ann", description="A person's name.", min_length=1, max_length=LONGEST_NAME)
]
State = Annotated[
    Literal["pending", "processing", "completed", "failed", "cancelled"],
    Field(description="The job's state."),
]
RerunKind = Literal["prepare", "recognize", "diarize", "attribute", "unfinished"]
Method = Annotated[Literal["resumable"], Field(description="How the bytes are sent.")]
Scopes = Annotated[list[Scope], Field(description="What the key permits.")]
Seconds = Annotated[float, Field(description="Seconds.")]
Place = Annotated[int, Field(description="The segment's place, counted from 0.")]
Links = Annotated[dict[str, str], Field(description="Related paths on this host.")]
_BINARY: dict[str, Any] = {"format": "binary"}
_PLAIN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

# -- requests ----------------------------------------------------------------------------------


class UploadForm(SubmissionForm):
    """One of `file`, `url` and `upload`."""

    file: str | None = Field(None, json_schema_extra=_BINARY, description="The recording.")


class UploadRequest(RequestModel):
    """A recording that is about to be uploaded."""

    name: FileName
    size_bytes: Integer = Field(ge=1, description="Size of the recording.")
    method: Method | None = None


class RerunRequest(RequestModel):
    """What an ended job does again."""

    tasks: list[RerunKind] | None = Field(None, description="Tasks to run again; all if empty.")
    options: TranscriptionOptions | None = Field(None, description="Replace those of the job.")


class SignInRequest(RequestModel):
    """The key that a browser signs in with."""

    key: str | None = _example("mt_0b8f6a3e5c1d_...", default=None, min_length=1)


class KeyRequest(RequestModel):
    """An API key to create."""

    name: str = Field(pattern=_PLAIN, examples=["ci"], description="The key's purpose.")
    tenant: str | None = Field(
        None, pattern=f"^$|{_PLAIN}", description="Whose jobs it creates and sees; else its name."
    )
    scopes: list[Scope] | None = Field(None, min_length=1, description="What the key permits.")
    expires_in_days: Integer | None = Field(None, ge=1, le=36_500, description="null: never.")


class RotationRequest(RequestModel):
    """How a key's secret is replaced."""

    overlap_seconds: Integer | None = Field(
        None, ge=0, le=_DAY_SECONDS, description="How long the old secret remains valid."
    )


_ABSENT: Any = None
"""The value of a field of `OneOf` that was not sent; null is not accepted for it."""


class SegmentChange(OneOf):
    """One of these changes."""

    text: str = Field(
        _ABSENT, pattern=r"\S", min_length=1, max_length=LONGEST_TEXT, description="The new words."
    )
    speaker: str | None = Field(None, description="The speaker of the segment; null for unknown.")
    split_at: Integer = Field(_ABSENT, ge=1, description="The word that begins the second half.")
    merge: JustTrue = Field(_ABSENT, description="Merge the segment with the next one.")


class PlacedChange(SegmentChange):
    """A SegmentChange with its `segment`."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 2, "maxProperties": 2})

    segment: Integer = Field(ge=0, description="Its place, counted from 0.")


class Replacement(RequestModel):
    """Words to replace in all segments."""

    find: str = _example(
        "Jon", pattern=r"\S", max_length=LONGEST_FIND, description="Whole words, in any case."
    )
    with_: str = _example("John", alias="with", pattern=r"\S", description="The replacement.")


class Reassignment(RequestModel):
    """Words to give from one speaker to another."""

    from_: str | None = Field(alias="from", description="Who speaks the words; null if unknown.")
    to: str | None = Field(description="Who gets them, a new speaker too; null for unknown.")


class SegmentChanges(OneOf):
    """One of these; each is one step, applied completely or not at all."""

    changes: list[PlacedChange] = Field(
        _ABSENT,
        min_length=1,
        max_length=MOST_CHANGES,
        description="In order; each refers to the segments that the one before left.",
    )
    replace: Replacement = _ABSENT
    reassign: Reassignment = _ABSENT


_Name = Annotated[str, Field(max_length=LONGEST_NAME)]


class Names(RootModel[Annotated[dict[str, _Name | None], Field(min_length=1)]]):
    """Speaker label to name; null removes the name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"SPEAKER_00": "Ann"}]})


class VoiceRequest(RequestModel):
    """A speaker of a finished meeting who is to be remembered."""

    job_id: str = Field(description="A finished meeting.")
    speaker: Label
    name: PersonName
    consent: JustTrue | Annotated[str, Field(min_length=1, max_length=LONGEST_NOTE)] = Field(
        description="The person's consent: true, or a note who agreed to it, when and how."
    )


class VoiceClip(RequestModel):
    """A recording of one person who is to be remembered."""

    file: str = Field(json_schema_extra=_BINARY, description="A recording of this person alone.")
    name: PersonName
    consent: str = Field(description="true, or a note, as in VoiceRequest.")


class VoiceName(RequestModel):
    """Another name of a person."""

    name: PersonName


class VoiceMerge(RequestModel):
    """A person to merge into another one."""

    voice_id: str = Field(description="The other one, which is deleted.")


# -- responses ---------------------------------------------------------------------------------


class OptionProblem(BaseModel):
    """What is wrong with one option."""

    name: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str = Field(json_schema_extra={"format": "uri"}, description="A URN with the code.")
    title: str = Field(description="The kind of problem.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened, why, and what to do.")
    instance: str = Field(description="The requested path.")
    code: str = _example("job_not_found", description="Stable; see the reference of errors.")
    request_id: str = Field(description="The value of X-Request-ID.")
    errors: list[OptionProblem] = Field(description="What is wrong with single options.")


class Notice(BaseModel):
    """A stable code and a sentence."""

    code: str
    message: str


class UploadEntry(BaseModel):
    """An upload."""

    upload_id: Id = Field(description="Its id, and its job's.")
    object: Literal["upload"]
    method: Method
    name: FileName
    size_bytes: int = Field(description="The announced size.")
    received_bytes: int = Field(description="Bytes received through this API.")
    expires_at: Moment | None = Field(description="When it is discarded; null once it is a job.")
    links: Links


class _Wait(BaseModel):
    queue_position: int | None = Field(description="1 for the next to begin; null once begun.")
    eta_seconds: int | None = Field(description="Seconds until its end; null if unknown.")


class Accepted(_Wait):
    """A job that was accepted."""

    job_id: JobId
    status: State
    message: str = Field(description="The state in a sentence.")
    created_at: Moment = Field(description="When it was submitted.")
    links: Links


class SpeakersRequested(BaseModel):
    """Numbers of speakers that were asked for."""

    num: int | None
    min: int | None
    max: int | None


class JobEntry(BaseModel):
    """A job in a list."""

    job_id: JobId
    object: Literal["transcription"]
    status: State
    stage: str = _example("recognize", description="The current stage of processing.")
    progress: float = Field(description="Percentage of the work done; never falls within a run.")
    name: FileName
    created_at: Moment = Field(description="When it was submitted.")
    started_at: Moment | None = Field(description="When a worker first began.")
    finished_at: Moment | None = Field(description="When it ended.")
    expires_at: Moment | None = Field(description="When it is deleted; null keeps it.")
    duration: float | None = Field(description="Seconds of the recording, if known.")
    size_bytes: int = Field(description="Size of the recording.")
    options: dict[str, Any] = Field(description="The options, as they are applied.")
    speakers_requested: SpeakersRequested
    speakers_found: int | None = Field(description="Number of speakers in the transcript.")
    names: dict[str, str] = Field(description="Names of people by speaker label.")
    engine: str | None = Field(description="The engine that recognized the words.")
    diarizer: str | None = Field(description="The engine that found the speakers.")
    edited: bool = Field(description="Whether the transcript was edited.")
    run: int = Field(description="Counts reruns, from 1.")
    version: int = Field(description="Rises with every change of the record.")
    edition: str = _example("1-0", description="Changes with each rerun and edit; for If-Match.")
    webhook: str | None = Field(description="`waiting`, `delivered`, or why delivery was given up.")
    warnings: list[Notice] = Field(description="Everything that fell back or is in doubt.")
    error: Notice | None
    delay: Notice | None
    links: Links


class Transcript(BaseModel):
    """The transcript in the json format, once the job is completed."""


class Job(JobEntry, _Wait):
    """A job, with its transcript once it is completed."""

    transcript: Transcript = _ABSENT


class _List(BaseModel):
    object: Literal["list"]


class _Page(_List):
    has_more: bool
    first_id: str | None
    last_id: str | None = Field(description="The value of `after` for the next page.")


class JobPage(_Page):
    """A page of jobs."""

    data: list[JobEntry]


class FoundSegment(BaseModel):
    """A segment that contains a word of the search."""

    segment: Place
    start: Seconds
    end: Seconds
    speaker: Label | None = Field(description="A label, null if unknown.")
    name: str | None = Field(description="The person's name, or the label.")
    text: str = Field(description="The words of the segment.")


class Hit(JobEntry):
    """A job in which all words of a search were said."""

    segments: list[FoundSegment]


class Hits(_Page):
    """The jobs that a search found."""

    data: list[Hit]
    complete: bool = Field(description="Whether all meetings were searched.")


class Peaks(BaseModel):
    """The outline of a waveform."""

    per_second: int = Field(description="Steps per second.")
    data: list[int] = Field(description="Lowest and highest sample per step, -127 to 127.")


class SegmentSplice(BaseModel):
    """A run of segments that changed."""

    segment: Place
    removed: int = Field(description="Number of segments to remove from there on.")
    inserted: list[dict[str, Any]] = Field(description="Segments to put there, as in json.")


class Turn(BaseModel):
    """A stretch of speech by one speaker."""

    start: Seconds
    end: Seconds
    speaker: str


class TranscriptChange(BaseModel):
    """What changed since the previous edition; only for keys with the scope `read`."""

    segments: list[SegmentSplice] = Field(description="Runs of segments, to be applied in order.")
    speakers: list[str] = Field(description="Labels of all speakers.")
    turns_without_words: list[Turn] = Field(description="Turns of speakers who have no segment.")


class EditedEntry(JobEntry):
    """A job after an edit."""

    changed: int = Field(description="Number of replacements, segments or changes made.")
    transcript_change: TranscriptChange = _ABSENT


class Edit(BaseModel):
    """An edit."""

    kind: str = _example("text", description="The kind of edit.")
    segment: int = Field(description="The segment's place at that moment.")
    text: str
    speaker: str | None
    at: int
    find: str = Field(description="The words that were replaced everywhere.")
    source: str | None = Field(description="The speaker whose words were given to `speaker`.")
    joined: bool = Field(description="Made in one step with the edit before.")
    step: int = Field(description="The step that one undo reverts, counted from 1.")
    undone: bool = Field(description="Whether the edit was undone.")
    summary: str = _example("Segment 3 got other words.", description="The edit in a sentence.")
    made_at: Moment = Field(description="When it was made.")
    author: str | None = _example("ann", default=..., description="Name of the API key, if any.")


class Edits(_List):
    """All edits of a transcript."""

    data: list[Edit]


class VoiceConsent(BaseModel):
    """A person's consent."""

    at: Moment = Field(description="When it was recorded.")
    by: str | None = Field(description="The name of the API key it was sent with.")
    note: str = Field(description="The note; empty if consent was just true.")


class VoiceSample(BaseModel):
    """A sample of a voice."""

    job_id: str = Field(description="The meeting, or the clip's job.")
    speaker: Label
    clip: bool = Field(description="Whether it was made from a clip.")
    seconds: float = Field(description="Seconds of speech it was made from.")
    model: str = Field(description="The network that made it; others cannot use it.")
    consent: VoiceConsent
    embedding: list[float] = Field(_ABSENT, description="The voice itself; only in exports.")


class Voice(BaseModel):
    """A person who is known by voice."""

    id: Id = Field(description="The person's id.")
    object: Literal["voice"]
    name: PersonName
    created_at: Moment = Field(description="When the person was first remembered.")
    samples: list[VoiceSample] = Field(description="The samples of the voice, the latest last.")


class VoiceList(_List):
    """All people who are known by voice."""

    data: list[Voice]


class Speaker(BaseModel):
    """A speaker of a meeting."""

    speaker: Label
    name: str | None = Field(description="The name in the transcript.")
    seconds: float = Field(description="Seconds of their segments; without any, of their turns.")
    voice_id: str | None = Field(description="The most similar of the known voices.")
    voice_name: str | None = _example("Ann", default=..., description="That person's name.")
    similarity: float | None = Field(description="Cosine similarity, at most 1.")
    certainty: Literal["clear", "perhaps"] | None = Field(description="How certain the match is.")
    rememberable: bool = Field(
        description="The meeting keeps this voice, and no edit gave the speaker words of others."
    )


class Speakers(_List):
    """The speakers of a meeting."""

    voice_profiles: bool = Field(description="Whether VOICE_PROFILES lets people be remembered.")
    data: list[Speaker]


class SignedIn(BaseModel):
    """A session."""

    key_id: str = Field(description="The id of the key.")
    name: str = Field(description="The key's name.")
    tenant: str = Field(description="The tenant whose jobs it sees.")
    scopes: Scopes
    csrf_token: str = Field(description="X-CSRF-Token of every method but GET and HEAD.")
    expires_at: Moment | None = Field(description="When it ends; null if no key is required.")


class WebhookSecret(BaseModel):
    """The secret that signs a tenant's webhooks."""

    object: Literal["webhook_secret"]
    tenant: str = Field(description="The tenant whose webhooks it verifies.")
    secret: str = _example(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        description="As Standard Webhooks defines it; the newest, while secrets rotate.",
    )


class Key(BaseModel):
    """An API key."""

    id: str = _example("0b8f6a3e5c1d", description="Public; the middle of the key.")
    object: Literal["key"]
    name: str = Field(description="The key's purpose.")
    tenant: str = Field(description="The tenant whose jobs it creates and sees.")
    scopes: Scopes
    created_at: Moment | None = Field(description="When it was created; null for keys of API_KEYS.")
    expires_at: Moment | None = Field(description="null never expires.")
    revoked_at: Moment | None = Field(description="null while it is valid.")
    used_at: Moment | None = Field(description="When it was last used, to the minute.")
    static: bool = Field(description="Whether it comes from API_KEYS.")


class NewKey(Key):
    """An API key with its secret."""

    key: str = _example("mt_0b8f6a3e5c1d_...", description="The key itself.")


class KeyList(_List):
    """All API keys."""

    data: list[Key]


class AuditEntry(BaseModel):
    """An entry of the audit log."""

    at: Moment = Field(description="When it happened.")
    action: str = _example("delete", description="The action, or `refused`.")
    key: str = Field(description="The id of the key; empty if none was required or known.")
    tenant: str = Field(description="The key's tenant.")
    job: str = Field(description="The job it concerned.")
    target: str = Field(description="What else it concerned; for a refusal, the requested path.")
    status: int = Field(description="The HTTP status of the response.")
    address: str = Field(description="The client's address; `terminal` for commands.")
    request_id: str = Field(description="The value of X-Request-ID.")
    name: str = Field("", description="The recording's file name, if AUDIT_FILE_NAMES is on.")


class AuditPage(_List):
    """A page of the audit log."""

    data: list[AuditEntry]
    after: str | None = Field(description="Gives the next page; null at the end.")


class QueueLength(BaseModel):
    """The length of a queue."""

    ready: int = Field(description="Tasks that a worker could take now.")
    running: int = Field(description="Tasks that a worker holds.")
    length: int = Field(description="Both together: what to scale workers by.")
    messages: int = Field(description="Messages in the broker that no worker has taken.")


class Queue(BaseModel):
    """The work that is not finished."""

    celery_queue_length: int = Field(description="Tasks that wait or run, over all queues.")
    queues: dict[str, QueueLength] = Field(description="Each queue's tasks and messages.")
    jobs: dict[str, int] = Field(description="Number of unfinished jobs by state.")
    oldest_seconds: float | None = Field(description="Age of the oldest unfinished job, if any.")
    audio_seconds_left: float = Field(description="Seconds of audio that are not yet recognized.")


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"]


class Check(BaseModel):
    """The state of a dependency."""

    ok: bool
    detail: str


class Fetching(BaseModel):
    """Progress of a download of weights."""

    bytes: int = Field(description="Bytes received.")
    total: int = Field(description="Expected bytes, as far as known.")


class Engines(BaseModel):
    """null for callers without the scope `read`."""

    fetching: Fetching | None


class Readiness(BaseModel):
    """Whether the service can work."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, Check] = Field(description="Whether each dependency responded, or why not.")
    workers: list[dict[str, Any]] = Field(description="The latest report of each worker.")
    engines: Engines | None


class FetchAsked(BaseModel):
    """Workers were asked to fetch weights."""

    status: Literal["asked"]
    workers: int = Field(description="Number of workers that lack an engine.")


# -- the document's components -----------------------------------------------------------------

_JSON_MODELS: tuple[type[BaseModel], ...] = (
    Problem, Submission, UploadRequest, UploadEntry, Accepted, Job, JobPage, Hits, Peaks,
    RerunRequest, Names, EditedEntry, SegmentChange, SegmentChanges, Edits, VoiceRequest,
    VoiceClip, VoiceName, VoiceMerge, VoiceList, Speakers, SignInRequest, SignedIn, KeyRequest,
    RotationRequest, KeyList, NewKey, WebhookSecret, AuditPage, Queue, Health, Readiness,
    FetchAsked,
)  # fmt: skip
_FORM_MODELS = (SubmissionForm, UploadForm)


class _JsonSchema(GenerateJsonSchema):
    """JSON schemas without titles, which repeat names, and without defaults of null."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        if schema.get("default") in (None, "", (), {}):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def _update_class_schema(self, json_schema: JsonSchemaValue, *more: Any) -> None:
        super()._update_class_schema(json_schema, *more)
        json_schema.pop("title", None)


class FormSchema(_JsonSchema):
    """As JSON, but a form has no null."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


@cache
def components() -> dict[str, dict[str, Any]]:
    """The schemas of all bodies by name."""
    found: dict[str, dict[str, Any]] = {}
    for models, generator in ((_JSON_MODELS, _JsonSchema), (_FORM_MODELS, FormSchema)):
        _, schema = models_json_schema(
            [(model, "validation") for model in models],
            ref_template="#/components/schemas/{model}",
            schema_generator=generator,
        )
        found |= schema["$defs"]
    return found
