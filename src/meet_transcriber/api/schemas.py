"""The shapes that the OpenAPI document names; answers are built by hand, so they are too."""

from meet_transcriber.api.editing_schemas import EDITING
from meet_transcriber.api.schema_types import (
    Schema,
    listed,
    maybe,
    moment,
    number,
    ref,
    shape,
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
_IN_JSON = {name: maybe(schema) for name, schema in OPTIONS.items()}
"""In a JSON object null stands for an option that is left out."""

_IN_FORM = {**OPTIONS, **TARGETS, "speaker_timeline": TIMELINE}

_LINKS = {
    "type": "object",
    "description": "Where to go from here, as paths on this host.",
    "additionalProperties": {"type": "string"},
}
_WAIT = {
    "queue_position": maybe(number("1 for the next job to begin; null once it has begun.")),
    "eta_seconds": maybe(number("Seconds until its end, from measured speed; null if unknown.")),
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
    "started_at": maybe(moment("When a worker first began.")),
    "finished_at": maybe(moment("When it ended.")),
    "expires_at": maybe(moment("When it is deleted; null keeps it.")),
    "duration": maybe(number("Seconds of the recording, as far as known.", "number")),
    "size_bytes": number("Bytes of the recording."),
    "options": {"type": "object", "description": "What was asked, as it is applied."},
    "speakers_requested": shape(
        {name: maybe({"type": "integer"}) for name in ("num", "min", "max")}
    ),
    "speakers_found": maybe(number("Speakers in the transcript.")),
    "names": {
        "type": "object",
        "description": "People's names by speaker label.",
        "additionalProperties": {"type": "string"},
    },
    "engine": maybe(text("What recognized the words.")),
    "diarizer": maybe(text("What found the speakers.")),
    "edited": {"type": "boolean", "description": "Somebody changed the transcript."},
    "run": number("Counts reruns, from 1."),
    "version": number("Rises with every change of the record."),
    "edition": text("Another after each rerun and each edit; what If-Match compares.", "1-0"),
    "webhook": maybe(text("`waiting`, `delivered`, or why telling was given up.")),
    "warnings": listed(ref("Notice"), "Everything that fell back or is in doubt."),
    "error": maybe(ref("Notice")),
    "delay": maybe(ref("Notice")),
    "links": _LINKS,
}
_SEGMENT: dict[str, Schema] = {
    "segment": number("Its place, counted from 0."),
    "start": number("Seconds.", "number"),
    "end": number("Seconds.", "number"),
    "speaker": maybe(text("A label, null when unknown.", "SPEAKER_00")),
    "name": maybe(text("The person's name, else the label.")),
    "text": text("What was said."),
}
_PLAIN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SCOPES = listed({"type": "string", "enum": list(SCOPES)}, "What the key is for.")
_KEY: dict[str, Schema] = {
    "id": text("Public; the middle of the key.", "0b8f6a3e5c1d"),
    "object": {"type": "string", "const": "key"},
    "name": text("What it is for."),
    "tenant": text("Whose jobs it makes and sees."),
    "scopes": _SCOPES,
    "created_at": maybe(moment("When it was made; null for keys of API_KEYS.")),
    "expires_at": maybe(moment("null never expires.")),
    "revoked_at": maybe(moment("null while it holds.")),
    "used_at": maybe(moment("When it was last seen, to the minute.")),
    "static": {"type": "boolean", "description": "It comes from API_KEYS."},
}


def _page(of: Schema) -> dict[str, Schema]:
    return {
        "object": {"type": "string", "const": "list"},
        "data": listed(of),
        "has_more": {"type": "boolean"},
        "first_id": maybe({"type": "string"}),
        "last_id": maybe(text("What to give as `after` for the next page.")),
    }


def _submission(about: str, fields: dict[str, Schema]) -> Schema:
    return shape(fields, tuple(fields), description=about, additionalProperties=False)


SCHEMAS: dict[str, Schema] = {
    "Problem": shape(
        {
            "type": text("A URN that ends with the code.", format="uri"),
            "title": text("What this kind of problem is."),
            "status": number("The HTTP status."),
            "detail": text("What happened, why, and what to do."),
            "instance": text("The path that was asked for."),
            "code": text("Stable; see the reference of errors.", "job_not_found"),
            "request_id": text("What X-Request-ID says."),
            "errors": listed(
                shape({"name": {"type": "string"}, "message": {"type": "string"}}),
                "What is wrong with single options.",
            ),
        },
        description="RFC 9457.",
    ),
    "Notice": shape({"code": {"type": "string"}, "message": {"type": "string"}}),
    "Submission": _submission(
        "Either `url` or `upload`.",
        {
            **_IN_JSON,
            **{name: maybe(schema) for name, schema in TARGETS.items()},
            "speaker_timeline": TIMELINE_IN_JSON,
        },
    ),
    "SubmissionForm": _submission("Either `url` or `upload`.", _IN_FORM),
    "Upload": _submission(
        "One of `file`, `url` and `upload`.",
        {"file": text("The recording.", format="binary"), **_IN_FORM},
    ),
    "UploadWish": shape(
        {
            "name": _ENTRY["name"],
            "size_bytes": number("Bytes of the recording.", minimum=1),
            "method": maybe(
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
    "UploadEntry": shape(
        {
            "upload_id": text("Its id, and its job's.", "0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"),
            "object": {"type": "string", "const": "upload"},
            "method": text("How the bytes come.", enum=["resumable", "signed"]),
            "name": _ENTRY["name"],
            "size_bytes": number("Bytes that were announced."),
            "received_bytes": number("Bytes that came through this API."),
            "expires_at": maybe(moment("When it is given up; null once it is a job.")),
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
    "Accepted": shape(
        {
            "job_id": _ENTRY["job_id"],
            "status": _STATUS,
            "message": text("The state in a sentence."),
            "created_at": _ENTRY["created_at"],
            "links": _LINKS,
            **_WAIT,
        }
    ),
    "JobEntry": shape(_ENTRY),
    "Job": shape({**_ENTRY, **_WAIT, "transcript": ref("Transcript")}, optional=("transcript",)),
    "Transcript": {
        "type": "object",
        "description": "As the json format has it; there once the job is completed.",
    },
    "JobPage": shape(_page(ref("JobEntry"))),
    "Hits": shape(
        {
            **_page(shape({**_ENTRY, "segments": listed(shape(_SEGMENT))})),
            "complete": {"type": "boolean", "description": "All meetings were looked at."},
        }
    ),
    "Peaks": shape(
        {
            "per_second": number("Steps a second."),
            "data": listed({"type": "integer"}, "Lowest and highest sample per step, -127 to 127."),
        }
    ),
    "Rerun": shape(
        {
            "tasks": maybe(
                listed({"type": "string", "enum": list(RERUN_KINDS)}, "Empty does everything.")
            ),
            "options": maybe(shape(_IN_JSON, tuple(OPTIONS), additionalProperties=False)),
        },
        ("tasks", "options"),
        additionalProperties=False,
    ),
    "Names": {
        "type": "object",
        "description": "Speaker label to name; null takes the name away.",
        "minProperties": 1,
        "additionalProperties": maybe({"type": "string", "maxLength": LONGEST_NAME}),
        "examples": [{"SPEAKER_00": "Ann"}],
    },
    "EditedEntry": shape(
        {
            **_ENTRY,
            "changed": number("Places that changed: replacements, segments or changes."),
        }
    ),
    **EDITING,
    **VOICES,
    "SignIn": shape(
        {"key": maybe(text("An API key.", "mt_0b8f6a3e5c1d_...", minLength=1))},
        ("key",),
        additionalProperties=False,
    ),
    "SignedIn": shape(
        {
            "key_id": text("The key that was signed in with."),
            "name": text("The key's name."),
            "tenant": text("Whose jobs it sees."),
            "scopes": _SCOPES,
            "csrf_token": text("What X-CSRF-Token must say with everything but GET and HEAD."),
            "expires_at": maybe(moment("When the session ends; null where nobody needs a key.")),
        }
    ),
    "KeyWish": shape(
        {
            "name": text("What it is for.", "ci", pattern=_PLAIN),
            "tenant": maybe(
                text(
                    "Whose jobs it makes and sees; its name where left out.", pattern=f"^$|{_PLAIN}"
                )
            ),
            "scopes": maybe({**_SCOPES, "minItems": 1}),
            "expires_in_days": maybe(number("null never expires.", minimum=1, maximum=36_500)),
        },
        ("tenant", "scopes", "expires_in_days"),
        additionalProperties=False,
    ),
    "Rotation": shape(
        {
            "overlap_seconds": maybe(
                number("How long the old secret counts on.", minimum=0, maximum=86_400)
            )
        },
        ("overlap_seconds",),
        additionalProperties=False,
    ),
    "Key": shape(_KEY),
    "NewKey": shape({**_KEY, "key": text("The key itself.", "mt_0b8f6a3e5c1d_...")}),
    "KeyList": shape({"object": {"const": "list", "type": "string"}, "data": listed(ref("Key"))}),
    "AuditPage": shape(
        {
            "object": {"const": "list", "type": "string"},
            "data": listed(ref("AuditEntry")),
            "after": maybe(text("What gives the next page; null at the end.")),
        }
    ),
    "AuditEntry": shape(
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
    "Queue": shape(
        {
            "celery_queue_length": number("Tasks that wait or run, over all queues."),
            "queues": {
                "type": "object",
                "description": "Each queue: tasks that wait and run, and the broker's messages.",
                "additionalProperties": shape(
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
            "oldest_seconds": maybe(
                number("Since the oldest unfinished job was sent; null without any.", "number")
            ),
            "audio_seconds_left": number("Audio that has still to be recognized.", "number"),
        }
    ),
    "Health": shape({"status": {"type": "string", "const": "ok"}}),
    "Readiness": shape(
        {
            "status": {"type": "string", "enum": ["ready", "not_ready"]},
            "checks": {
                "type": "object",
                "description": "Each dependency: whether it answered, and what is wrong.",
                "additionalProperties": shape(
                    {"ok": {"type": "boolean"}, "detail": {"type": "string"}}
                ),
            },
            "workers": listed({"type": "object"}, "What each worker last said of itself."),
            "engines": maybe(
                shape(
                    {
                        "fetching": maybe(
                            shape(
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
    "FetchAsked": shape(
        {
            "status": {"type": "string", "const": "asked"},
            "workers": number("How many lack an engine."),
        }
    ),
}
FORMATS = list(EXPORTERS)
