"""The shapes that the OpenAPI document names; answers are built by hand, so they are too."""

from meet_transcriber.api.editing_schemas import EDITING
from meet_transcriber.api.schema_types import (
    Schema,
    array,
    moment,
    nullable,
    number,
    object_schema,
    ref,
    text,
    texts,
)
from meet_transcriber.api.timeline_schemas import TIMELINE, TIMELINE_IN_JSON
from meet_transcriber.api.voice_schemas import VOICES
from meet_transcriber.core.auth import SCOPES
from meet_transcriber.core.edits import LONGEST_NAME
from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.core.jobs import SHOWN
from meet_transcriber.core.options import MAX_SPEAKERS
from meet_transcriber.service.commands import RERUN_KINDS


def _speakers(about: str) -> Schema:
    return number(about, minimum=1, maximum=MAX_SPEAKERS)


OPTIONS: dict[str, Schema] = {
    "language": text("ISO 639-1 code of the speech; left out, it is detected.", "en"),
    "languages": texts("Languages that detection may choose from; as text with commas, too."),
    "task": text(
        "Write as spoken, or translate into English.",
        enum=["transcribe", "translate"],
        default="transcribe",
    ),
    "enable_diarization": {
        "type": "boolean",
        "description": "Find out who spoke.",
        "default": True,
    },
    "num_speakers": _speakers("How many people speak, where that is known."),
    "min_speakers": _speakers("Fewest people that speak; MIN_SPEAKERS where it is left out."),
    "max_speakers": _speakers("Most people that speak; MAX_SPEAKERS where it is left out."),
    "word_timestamps": {
        "type": "boolean",
        "description": "Show the times of words; false only hides them.",
        "default": True,
    },
    "hotwords": texts("Names and words to expect; as text with commas, too."),
    "initial_prompt": text("Text that the engine takes as what was said before."),
    "channels": text(
        "Whether each channel of the recording is one speaker.",
        enum=["auto", "mix", "split"],
        default="auto",
    ),
}
TARGETS: dict[str, Schema] = {
    "url": text("Where a worker fetches the recording.", "https://media.example/standup.mp3"),
    "upload": text("The id of an upload that is complete."),
    "webhook_url": text("Who is told of the job's end, signed as Standard Webhooks has it."),
}
_IN_JSON = {name: nullable(schema) for name, schema in OPTIONS.items()}
"""In a JSON object null stands for an option that is left out."""

_IN_FORM = {**OPTIONS, **TARGETS, "speaker_timeline": TIMELINE}

_LINKS = {
    "type": "object",
    "description": "Where to go from here, as paths on this host.",
    "additionalProperties": {"type": "string"},
}
_WAIT = {
    "queue_position": nullable(number("1 for the next job to begin; null once it has begun.")),
    "eta_seconds": nullable(number("Seconds until its end, from measured speed; null if unknown.")),
}
_STATUS = text("How far it is.", enum=list(SHOWN))
_ENTRY: dict[str, Schema] = {
    "job_id": text("The job's id.", "0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"),
    "object": {"type": "string", "const": "transcription"},
    "status": _STATUS,
    "stage": text("What is going on.", "recognize"),
    "progress": number("Percent of the work done; never falls within a run.", "number"),
    "name": text("The recording, as its sender called it.", "standup.mp3"),
    "created_at": moment("When it was taken in."),
    "started_at": nullable(moment("When a worker first began.")),
    "finished_at": nullable(moment("When it ended.")),
    "expires_at": nullable(moment("When it is deleted; null keeps it.")),
    "duration": nullable(number("Seconds of the recording, as far as known.", "number")),
    "size_bytes": number("Bytes of the recording."),
    "options": {"type": "object", "description": "What was asked, as it is applied."},
    "speakers_requested": object_schema(
        {name: nullable({"type": "integer"}) for name in ("num", "min", "max")}
    ),
    "speakers_found": nullable(number("Speakers in the transcript.")),
    "names": {
        "type": "object",
        "description": "People's names by speaker label.",
        "additionalProperties": {"type": "string"},
    },
    "engine": nullable(text("What recognized the words.")),
    "diarizer": nullable(text("What found the speakers.")),
    "edited": {"type": "boolean", "description": "Somebody changed the transcript."},
    "run": number("Counts reruns, from 1."),
    "version": number("Rises with every change of the record."),
    "edition": text("Another after each rerun and each edit; what If-Match compares.", "1-0"),
    "webhook": nullable(text("`waiting`, `delivered`, or why telling was given up.")),
    "warnings": array(ref("Notice"), "Everything that fell back or is in doubt."),
    "error": nullable(ref("Notice")),
    "delay": nullable(ref("Notice")),
    "links": _LINKS,
}
_SEGMENT: dict[str, Schema] = {
    "segment": number("Its place, counted from 0."),
    "start": number("Seconds.", "number"),
    "end": number("Seconds.", "number"),
    "speaker": nullable(text("A label, null when unknown.", "SPEAKER_00")),
    "name": nullable(text("The person's name, else the label.")),
    "text": text("What was said."),
}
_PLAIN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SCOPES = array({"type": "string", "enum": list(SCOPES)}, "What the key is for.")
_KEY: dict[str, Schema] = {
    "id": text("Public; the middle of the key.", "0b8f6a3e5c1d"),
    "object": {"type": "string", "const": "key"},
    "name": text("What it is for."),
    "tenant": text("Whose jobs it makes and sees."),
    "scopes": _SCOPES,
    "created_at": nullable(moment("When it was made; null for keys of API_KEYS.")),
    "expires_at": nullable(moment("null never expires.")),
    "revoked_at": nullable(moment("null while it holds.")),
    "used_at": nullable(moment("When it was last seen, to the minute.")),
    "static": {"type": "boolean", "description": "It comes from API_KEYS."},
}


def _page(of: Schema) -> dict[str, Schema]:
    return {
        "object": {"type": "string", "const": "list"},
        "data": array(of),
        "has_more": {"type": "boolean"},
        "first_id": nullable({"type": "string"}),
        "last_id": nullable(text("What to give as `after` for the next page.")),
    }


def _submission(about: str, fields: dict[str, Schema]) -> Schema:
    return object_schema(fields, tuple(fields), description=about, additionalProperties=False)


SCHEMAS: dict[str, Schema] = {
    "Problem": object_schema(
        {
            "type": text("A URN that ends with the code.", format="uri"),
            "title": text("What this kind of problem is."),
            "status": number("The HTTP status."),
            "detail": text("What happened, why, and what to do."),
            "instance": text("The path that was asked for."),
            "code": text("Stable; see the reference of errors.", "job_not_found"),
            "request_id": text("What X-Request-ID says."),
            "errors": array(
                object_schema({"name": {"type": "string"}, "message": {"type": "string"}}),
                "What is wrong with single options.",
            ),
        },
        description="RFC 9457.",
    ),
    "Notice": object_schema({"code": {"type": "string"}, "message": {"type": "string"}}),
    "Submission": _submission(
        "Either `url` or `upload`.",
        {
            **_IN_JSON,
            **{name: nullable(schema) for name, schema in TARGETS.items()},
            "speaker_timeline": TIMELINE_IN_JSON,
        },
    ),
    "SubmissionForm": _submission("Either `url` or `upload`.", _IN_FORM),
    "Upload": _submission(
        "One of `file`, `url` and `upload`.",
        {"file": text("The recording.", format="binary"), **_IN_FORM},
    ),
    "UploadWish": object_schema(
        {
            "name": _ENTRY["name"],
            "size_bytes": number("Bytes of the recording.", minimum=1),
            "method": nullable(
                text(
                    "Through this API, or straight to the bucket; left out, the latter where "
                    "there is one.",
                    enum=["resumable", "signed"],
                )
            ),
        },
        ("method",),
        additionalProperties=False,
    ),
    "UploadEntry": object_schema(
        {
            "upload_id": text("Its id, and its job's.", "0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"),
            "object": {"type": "string", "const": "upload"},
            "method": text("How the bytes come.", enum=["resumable", "signed"]),
            "name": _ENTRY["name"],
            "size_bytes": number("Bytes that were announced."),
            "received_bytes": number("Bytes that came through this API."),
            "expires_at": nullable(moment("When it is given up; null once it is a job.")),
            "links": _LINKS,
            "url": text("Where a signed upload is PUT to, for an hour.", format="uri"),
            "headers": {
                "type": "object",
                "description": "What the PUT has to send.",
                "additionalProperties": {"type": "string"},
            },
        },
        ("url", "headers"),
    ),
    "Accepted": object_schema(
        {
            "job_id": _ENTRY["job_id"],
            "status": _STATUS,
            "message": text("The state in a sentence."),
            "created_at": _ENTRY["created_at"],
            "links": _LINKS,
            **_WAIT,
        }
    ),
    "JobEntry": object_schema(_ENTRY),
    "Job": object_schema(
        {**_ENTRY, **_WAIT, "transcript": ref("Transcript")}, optional=("transcript",)
    ),
    "Transcript": {
        "type": "object",
        "description": "As the json format has it; there once the job is completed.",
    },
    "JobPage": object_schema(_page(ref("JobEntry"))),
    "Hits": object_schema(
        {
            **_page(object_schema({**_ENTRY, "segments": array(object_schema(_SEGMENT))})),
            "complete": {"type": "boolean", "description": "All meetings were looked at."},
        }
    ),
    "Peaks": object_schema(
        {
            "per_second": number("Steps a second."),
            "data": array({"type": "integer"}, "Lowest and highest sample per step, -127 to 127."),
        }
    ),
    "Rerun": object_schema(
        {
            "tasks": nullable(
                array({"type": "string", "enum": list(RERUN_KINDS)}, "Empty does everything.")
            ),
            "options": nullable(
                object_schema(_IN_JSON, tuple(OPTIONS), additionalProperties=False)
            ),
        },
        ("tasks", "options"),
        additionalProperties=False,
    ),
    "Names": {
        "type": "object",
        "description": "Speaker label to name; null takes the name away.",
        "minProperties": 1,
        "additionalProperties": nullable({"type": "string", "maxLength": LONGEST_NAME}),
        "examples": [{"SPEAKER_00": "Ann"}],
    },
    "EditedEntry": object_schema(
        {
            **_ENTRY,
            "changed": number("Places that changed: replacements, segments or changes."),
            "transcript_change": ref("TranscriptChange"),
        },
        optional=("transcript_change",),
    ),
    **EDITING,
    **VOICES,
    "SignIn": object_schema(
        {"key": nullable(text("An API key.", "mt_0b8f6a3e5c1d_...", minLength=1))},
        ("key",),
        additionalProperties=False,
    ),
    "SignedIn": object_schema(
        {
            "key_id": text("The key that was signed in with."),
            "name": text("The key's name."),
            "tenant": text("Whose jobs it sees."),
            "scopes": _SCOPES,
            "csrf_token": text("What X-CSRF-Token must say with everything but GET and HEAD."),
            "expires_at": nullable(moment("When the session ends; null where nobody needs a key.")),
        }
    ),
    "KeyWish": object_schema(
        {
            "name": text("What it is for.", "ci", pattern=_PLAIN),
            "tenant": nullable(
                text(
                    "Whose jobs it makes and sees; its name where left out.", pattern=f"^$|{_PLAIN}"
                )
            ),
            "scopes": nullable({**_SCOPES, "minItems": 1}),
            "expires_in_days": nullable(number("null never expires.", minimum=1, maximum=36_500)),
        },
        ("tenant", "scopes", "expires_in_days"),
        additionalProperties=False,
    ),
    "Rotation": object_schema(
        {
            "overlap_seconds": nullable(
                number("How long the old secret counts on.", minimum=0, maximum=86_400)
            )
        },
        ("overlap_seconds",),
        additionalProperties=False,
    ),
    "Key": object_schema(_KEY),
    "NewKey": object_schema({**_KEY, "key": text("The key itself.", "mt_0b8f6a3e5c1d_...")}),
    "KeyList": object_schema(
        {"object": {"const": "list", "type": "string"}, "data": array(ref("Key"))}
    ),
    "AuditPage": object_schema(
        {
            "object": {"const": "list", "type": "string"},
            "data": array(ref("AuditEntry")),
            "after": nullable(text("What gives the next page; null at the end.")),
        }
    ),
    "AuditEntry": object_schema(
        {
            "at": moment("When."),
            "action": text("What was done, or `refused`.", "delete"),
            "key": text("The id of the key; empty where none was needed or known."),
            "tenant": text("Whose key it was."),
            "job": text("To which job."),
            "target": text("To what else; of a refusal, what was asked."),
            "status": number("Of the answer."),
            "address": text("Where it came from; `terminal` for commands."),
            "request_id": text("What X-Request-ID said."),
            "name": text("Of the recording, where AUDIT_FILE_NAMES is on."),
        },
        ("name",),
    ),
    "Queue": object_schema(
        {
            "celery_queue_length": number("Tasks that wait or run, over all queues."),
            "queues": {
                "type": "object",
                "description": "Each queue: tasks that wait and run, and the broker's messages.",
                "additionalProperties": object_schema(
                    {
                        "ready": number("Tasks that a worker could take now."),
                        "running": number("Tasks that a worker holds."),
                        "length": number("Both together: what workers should follow."),
                        "messages": number("Of the broker, that nobody took yet."),
                    }
                ),
            },
            "jobs": {
                "type": "object",
                "description": "State to how many jobs that have not ended.",
                "additionalProperties": {"type": "integer"},
            },
            "oldest_seconds": nullable(
                number("Since the oldest unfinished job was sent; null without any.", "number")
            ),
            "audio_seconds_left": number("Audio that has still to be recognized.", "number"),
        }
    ),
    "Health": object_schema({"status": {"type": "string", "const": "ok"}}),
    "Readiness": object_schema(
        {
            "status": {"type": "string", "enum": ["ready", "not_ready"]},
            "checks": {
                "type": "object",
                "description": "Each dependency: whether it answered, and what is wrong.",
                "additionalProperties": object_schema(
                    {"ok": {"type": "boolean"}, "detail": {"type": "string"}}
                ),
            },
            "workers": array({"type": "object"}, "What each worker last said of itself."),
            "engines": nullable(
                object_schema(
                    {
                        "fetching": nullable(
                            object_schema(
                                {
                                    "bytes": number("That came."),
                                    "total": number("That are to come, as far as known."),
                                }
                            )
                        ),
                    },
                    description="null for those who may not read.",
                )
            ),
        }
    ),
    "FetchAsked": object_schema(
        {
            "status": {"type": "string", "const": "asked"},
            "workers": number("How many lack an engine."),
        }
    ),
}
FORMATS = list(EXPORTERS)
