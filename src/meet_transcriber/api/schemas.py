"""The shapes that the OpenAPI document names; answers are built by hand, so they are too."""

from typing import Any

from meet_transcriber.core.edits import LONGEST_NAME, LONGEST_TEXT
from meet_transcriber.core.exporters import EXPORTERS
from meet_transcriber.core.jobs import SHOWN
from meet_transcriber.core.keys import SCOPES
from meet_transcriber.core.options import MAX_SPEAKERS
from meet_transcriber.service.changing import RERUN_KINDS

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to a schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _text(about: str, *examples: str, **more: Any) -> Schema:
    shown = {"examples": list(examples)} if examples else {}
    return {"type": "string", "description": about, **shown, **more}


def _number(about: str, kind: str = "integer", **more: Any) -> Schema:
    return {"type": kind, "description": about, **more}


def _maybe(schema: Schema) -> Schema:
    if "$ref" in schema or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _object(properties: dict[str, Schema], optional: tuple[str, ...] = (), **more: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def _list(of: Schema, about: str = "") -> Schema:
    return {"type": "array", "items": of, **({"description": about} if about else {})}


def _texts(about: str) -> Schema:
    return {"anyOf": [_list({"type": "string"}), {"type": "string"}], "description": about}


def _moment(about: str) -> Schema:
    return _text(about, "2026-11-24T09:00:00.000Z", format="date-time")


def _speakers(about: str) -> Schema:
    return _number(about, minimum=1, maximum=MAX_SPEAKERS)


OPTIONS: dict[str, Schema] = {
    "language": _text("ISO 639-1 code of the speech; left out, it is detected.", "en"),
    "languages": _texts("Languages that detection may choose from; as text with commas, too."),
    "task": _text(
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
    "hotwords": _texts("Names and words to expect; as text with commas, too."),
    "initial_prompt": _text("Text that the engine takes as what was said before."),
    "channels": _text(
        "Whether each channel of the recording is one speaker.",
        enum=["auto", "mix", "split"],
        default="auto",
    ),
}
TARGETS: dict[str, Schema] = {
    "url": _text("Where a worker fetches the recording.", "https://media.example/standup.mp3"),
    "webhook_url": _text("Who is told of the job's end, signed as Standard Webhooks has it."),
}
_IN_JSON = {name: _maybe(schema) for name, schema in OPTIONS.items()}
"""In a JSON object null stands for an option that is left out."""

_LINKS = {
    "type": "object",
    "description": "Where to go from here, as paths on this host.",
    "additionalProperties": {"type": "string"},
}
_WAIT = {
    "queue_position": _maybe(_number("1 for the next job to begin; null once it has begun.")),
    "eta_seconds": _maybe(_number("Seconds until its end, from measured speed; null if unknown.")),
}
_STATUS = _text("How far it is.", enum=list(SHOWN))
_ENTRY: dict[str, Schema] = {
    "job_id": _text("The job's id.", "0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"),
    "object": {"type": "string", "const": "transcription"},
    "status": _STATUS,
    "stage": _text("What is going on.", "recognize"),
    "progress": _number("Percent of the work done; never falls within a run.", "number"),
    "name": _text("The recording, as its sender called it.", "standup.mp3"),
    "created_at": _moment("When it was taken in."),
    "started_at": _maybe(_moment("When a worker first began.")),
    "finished_at": _maybe(_moment("When it ended.")),
    "expires_at": _maybe(_moment("When it is deleted; null keeps it.")),
    "duration": _maybe(_number("Seconds of the recording, as far as known.", "number")),
    "size_bytes": _number("Bytes of the recording."),
    "options": {"type": "object", "description": "What was asked, as it is applied."},
    "speakers_requested": _object(
        {name: _maybe({"type": "integer"}) for name in ("num", "min", "max")}
    ),
    "speakers_found": _maybe(_number("Speakers in the transcript.")),
    "names": {
        "type": "object",
        "description": "People's names by speaker label.",
        "additionalProperties": {"type": "string"},
    },
    "engine": _maybe(_text("What recognized the words.")),
    "diarizer": _maybe(_text("What found the speakers.")),
    "edited": {"type": "boolean", "description": "Somebody changed the transcript."},
    "run": _number("Counts reruns, from 1."),
    "version": _number("Rises with every change of the record."),
    "edition": _text("Another after each rerun and each edit; what If-Match compares.", "1-0"),
    "webhook": _maybe(_text("`waiting`, `delivered`, or why telling was given up.")),
    "warnings": _list(ref("Notice"), "Everything that fell back or is in doubt."),
    "error": _maybe(ref("Notice")),
    "links": _LINKS,
}
_SEGMENT: dict[str, Schema] = {
    "segment": _number("Its place, counted from 0."),
    "start": _number("Seconds.", "number"),
    "end": _number("Seconds.", "number"),
    "speaker": _maybe(_text("A label, null when unknown.", "SPEAKER_00")),
    "name": _maybe(_text("The person's name, else the label.")),
    "text": _text("What was said."),
}
_PLAIN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SCOPES = _list({"type": "string", "enum": list(SCOPES)}, "What the key is for.")
_KEY: dict[str, Schema] = {
    "id": _text("Public; the middle of the key.", "0b8f6a3e5c1d"),
    "object": {"type": "string", "const": "key"},
    "name": _text("What it is for."),
    "tenant": _text("Whose jobs it makes and sees."),
    "scopes": _SCOPES,
    "created_at": _maybe(_moment("When it was made; null for keys of API_KEYS.")),
    "expires_at": _maybe(_moment("null never expires.")),
    "revoked_at": _maybe(_moment("null while it holds.")),
    "used_at": _maybe(_moment("When it was last seen, to the minute.")),
    "static": {"type": "boolean", "description": "It comes from API_KEYS."},
}


def _page(of: Schema) -> dict[str, Schema]:
    return {
        "object": {"type": "string", "const": "list"},
        "data": _list(of),
        "has_more": {"type": "boolean"},
        "first_id": _maybe({"type": "string"}),
        "last_id": _maybe(_text("What to give as `after` for the next page.")),
    }


SCHEMAS: dict[str, Schema] = {
    "Problem": _object(
        {
            "type": _text("A URN that ends with the code.", format="uri"),
            "title": _text("What this kind of problem is."),
            "status": _number("The HTTP status."),
            "detail": _text("What happened, why, and what to do."),
            "instance": _text("The path that was asked for."),
            "code": _text("Stable; see the reference of errors.", "job_not_found"),
            "request_id": _text("What X-Request-ID says."),
            "errors": _list(
                _object({"name": {"type": "string"}, "message": {"type": "string"}}),
                "What is wrong with single options.",
            ),
        },
        description="RFC 9457.",
    ),
    "Notice": _object({"code": {"type": "string"}, "message": {"type": "string"}}),
    "Submission": _object(
        {**_IN_JSON, "url": TARGETS["url"], "webhook_url": _maybe(TARGETS["webhook_url"])},
        (*OPTIONS, "webhook_url"),
        additionalProperties=False,
    ),
    "SubmissionForm": _object(
        {**OPTIONS, **TARGETS}, (*OPTIONS, "webhook_url"), additionalProperties=False
    ),
    "Upload": _object(
        {"file": _text("The recording.", format="binary"), **OPTIONS, **TARGETS},
        (*OPTIONS, *TARGETS, "file"),
        description="Either `file` or `url`.",
        additionalProperties=False,
    ),
    "Accepted": _object(
        {
            "job_id": _ENTRY["job_id"],
            "status": _STATUS,
            "message": _text("The state in a sentence."),
            "created_at": _ENTRY["created_at"],
            "links": _LINKS,
            **_WAIT,
        }
    ),
    "JobEntry": _object(_ENTRY),
    "Job": _object({**_ENTRY, **_WAIT, "transcript": ref("Transcript")}, optional=("transcript",)),
    "Transcript": {
        "type": "object",
        "description": "As the json format has it; there once the job is completed.",
    },
    "JobPage": _object(_page(ref("JobEntry"))),
    "Hits": _object(
        {
            **_page(_object({**_ENTRY, "segments": _list(_object(_SEGMENT))})),
            "complete": {"type": "boolean", "description": "All meetings were looked at."},
        }
    ),
    "Peaks": _object(
        {
            "per_second": _number("Steps a second."),
            "data": _list({"type": "integer"}, "Lowest and highest sample per step, -127 to 127."),
        }
    ),
    "Rerun": _object(
        {
            "tasks": _maybe(
                _list({"type": "string", "enum": list(RERUN_KINDS)}, "Empty does everything.")
            ),
            "options": _maybe(_object(_IN_JSON, tuple(OPTIONS), additionalProperties=False)),
        },
        ("tasks", "options"),
        additionalProperties=False,
    ),
    "Names": {
        "type": "object",
        "description": "Speaker label to name; null takes the name away.",
        "minProperties": 1,
        "additionalProperties": _maybe({"type": "string", "maxLength": LONGEST_NAME}),
        "examples": [{"SPEAKER_00": "Ann"}],
    },
    "SegmentChange": {
        "description": "One of these changes.",
        "oneOf": [
            _object(
                {
                    "text": _text(
                        "The new words.", pattern=r"\S", minLength=1, maxLength=LONGEST_TEXT
                    )
                },
                additionalProperties=False,
            ),
            _object({"speaker": _maybe(_text("Who said it."))}, additionalProperties=False),
            _object(
                {"split_at": _number("The word that begins the second half.", minimum=1)},
                additionalProperties=False,
            ),
            _object({"merge": {"const": True, "type": "boolean"}}, additionalProperties=False),
        ],
    },
    "Edits": _object({"object": {"const": "list", "type": "string"}, "data": _list(ref("Edit"))}),
    "Edit": _object(
        {
            "kind": _text("What was done.", "text"),
            "segment": _number("The segment's place at that moment."),
            "text": {"type": "string"},
            "speaker": _maybe({"type": "string"}),
            "at": {"type": "integer"},
            "made_at": _moment("When."),
        }
    ),
    "SignIn": _object(
        {"key": _maybe(_text("An API key.", "mt_0b8f6a3e5c1d_...", minLength=1))},
        ("key",),
        additionalProperties=False,
    ),
    "SignedIn": _object(
        {
            "key_id": _text("The key that was signed in with."),
            "name": _text("The key's name."),
            "tenant": _text("Whose jobs it sees."),
            "scopes": _SCOPES,
            "csrf_token": _text("What X-CSRF-Token must say with everything but GET and HEAD."),
            "expires_at": _maybe(_moment("When the session ends; null where nobody needs a key.")),
        }
    ),
    "KeyWish": _object(
        {
            "name": _text("What it is for.", "ci", pattern=_PLAIN),
            "tenant": _maybe(
                _text(
                    "Whose jobs it makes and sees; its name where left out.", pattern=f"^$|{_PLAIN}"
                )
            ),
            "scopes": _maybe({**_SCOPES, "minItems": 1}),
            "expires_in_days": _maybe(_number("null never expires.", minimum=1, maximum=36_500)),
        },
        ("tenant", "scopes", "expires_in_days"),
        additionalProperties=False,
    ),
    "Rotation": _object(
        {
            "overlap_seconds": _maybe(
                _number("How long the old secret counts on.", minimum=0, maximum=86_400)
            )
        },
        ("overlap_seconds",),
        additionalProperties=False,
    ),
    "Key": _object(_KEY),
    "NewKey": _object({**_KEY, "key": _text("The key itself.", "mt_0b8f6a3e5c1d_...")}),
    "KeyList": _object({"object": {"const": "list", "type": "string"}, "data": _list(ref("Key"))}),
    "AuditPage": _object(
        {
            "object": {"const": "list", "type": "string"},
            "data": _list(ref("AuditEntry")),
            "after": _maybe(_text("What gives the next page; null at the end.")),
        }
    ),
    "AuditEntry": _object(
        {
            "at": _moment("When."),
            "action": _text("What was done, or `refused`.", "delete"),
            "key": _text("The id of the key; empty where none was needed or known."),
            "tenant": _text("Whose key it was."),
            "job": _text("To which job."),
            "target": _text("To what else; of a refusal, what was asked."),
            "status": _number("Of the answer."),
            "address": _text("Where it came from; `terminal` for commands."),
            "request_id": _text("What X-Request-ID said."),
            "name": _text("Of the recording, where AUDIT_FILE_NAMES is on."),
        },
        ("name",),
    ),
    "Queue": _object(
        {
            "celery_queue_length": _number("Tasks that wait or run, over all queues."),
            "queues": {
                "type": "object",
                "description": "Each queue: tasks that wait and run, and the broker's messages.",
                "additionalProperties": _object(
                    {
                        "ready": _number("Tasks that a worker could take now."),
                        "running": _number("Tasks that a worker holds."),
                        "length": _number("Both together: what workers should follow."),
                        "messages": _number("Of the broker, that nobody took yet."),
                    }
                ),
            },
            "jobs": {
                "type": "object",
                "description": "State to how many jobs that have not ended.",
                "additionalProperties": {"type": "integer"},
            },
            "oldest_seconds": _maybe(
                _number("Since the oldest unfinished job was sent; null without any.", "number")
            ),
            "audio_seconds_left": _number("Audio that has still to be recognized.", "number"),
        }
    ),
    "Health": _object({"status": {"type": "string", "const": "ok"}}),
    "Readiness": _object(
        {
            "status": {"type": "string", "enum": ["ready", "not_ready"]},
            "checks": {
                "type": "object",
                "description": "Each dependency: whether it answered, and what is wrong.",
                "additionalProperties": _object(
                    {"ok": {"type": "boolean"}, "detail": {"type": "string"}}
                ),
            },
            "workers": _list({"type": "object"}, "What each worker last said of itself."),
        }
    ),
}
FORMATS = list(EXPORTERS)
