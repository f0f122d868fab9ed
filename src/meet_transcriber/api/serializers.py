"""Serializes records for responses: plain dicts, ready for JSON."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from meet_transcriber.core.edits import Edit, EditLog, splices, turns_without_words
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import Segment
from meet_transcriber.service.commands import EditResult
from meet_transcriber.service.queries import Found, Wait

RETRY_PENDING_SECONDS, RETRY_RUNNING_SECONDS = 5, 2

_MESSAGES = {
    "pending": "The recording was accepted and waits for a worker.",
    "processing": "The recording is being processed.",
    "completed": "The transcript is ready.",
    "failed": "The job failed; its status says why.",
    "cancelled": "The job was cancelled.",
}


class JsonResponse(Response):
    """A response with a JSON body, which is not validated."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Encode the body."""
        return dumped(content)


def dumped(body: object) -> bytes:
    """Compact JSON as UTF-8; lone surrogates are escaped."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def moment(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC."""
    if seconds is None:
        return None
    stamp = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


def edition(job: Job) -> str:
    """Identifies the state of a transcript; changes with each rerun and each edit."""
    # The key of the log of edits ends with an id that each edit makes anew.
    return f"{job.run}-{job.objects.get('edits.json', '').rpartition('.')[2] or '0'}"


def path_of(job_id: str) -> str:
    """The path of a job."""
    return f"/transcribe/{job_id}"


def links(job: Job) -> dict[str, str]:
    """Paths related to a job, as far as its state allows them."""
    own = path_of(job.id)
    there = {"self": own, "events": f"{own}/events"}
    if job.objects.keys() & {"recording", "working.flac"}:
        there["audio"] = f"{own}/audio"
    if "peaks.dat" in job.objects:
        there["peaks"] = f"{own}/peaks"
    if job.state == "completed":
        there |= {"download": f"{own}/download", "edits": f"{own}/edits"}
    there["rerun" if job.ended else "cancel"] = f"{own}/{'rerun' if job.ended else 'cancel'}"
    return there


def accepted(job: Job, wait: Wait) -> dict[str, Any]:
    """The body for a job that was submitted, or that runs again."""
    return {
        "job_id": job.id,
        "status": job.state,
        "message": _MESSAGES[job.state],
        "created_at": moment(job.created_at),
        "links": links(job),
        **_waiting(wait),
    }


def status(job: Job, wait: Wait) -> dict[str, Any]:
    """A job without its transcript."""
    return {**entry(job), **_waiting(wait)}


def _waiting(wait: Wait) -> dict[str, Any]:
    seconds = None if wait.seconds is None else round(wait.seconds)
    return {"queue_position": wait.position, "eta_seconds": seconds}


def entry(job: Job) -> dict[str, Any]:
    """A job in a list: its status without its place in the queue."""
    options = job.options
    return {
        "job_id": job.id,
        "object": "transcription",
        "status": job.state,
        "stage": job.stage,
        "progress": round(100.0 * job.progress, 1),
        "name": job.name,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "expires_at": moment(job.expires_at),
        "duration": job.duration,
        "size_bytes": job.size_bytes,
        "options": to_plain(options),
        "speakers_requested": {
            "num": options.num_speakers,
            "min": options.min_speakers,
            "max": options.max_speakers,
        },
        "speakers_found": job.speakers_found,
        "names": dict(job.names),
        "engine": job.engine or None,
        "diarizer": job.diarizer,
        "edited": job.edited,
        "run": job.run,
        "version": job.version,
        "edition": edition(job),
        "webhook": job.webhook and job.webhook.outcome,
        "warnings": to_plain(job.warnings),
        "error": to_plain(job.error),
        "delay": job.delay and {"code": job.delay.code, "message": job.delay.message},
        "links": links(job),
    }


def edited_entry(result: EditResult, may_read: bool) -> dict[str, Any]:
    """A job after an edit; what changed in its transcript only for those who may read it."""
    body = {**entry(result.job), "changed": result.changed}
    return {**body, "transcript_change": _transcript_change(result)} if may_read else body


def _transcript_change(result: EditResult) -> dict[str, Any]:
    word_times = result.job.options.word_timestamps
    after = result.after
    changed = [
        {
            "segment": each.at,
            "removed": each.removed,
            "inserted": [
                to_plain(segment) if word_times else segment.without_words()
                for segment in each.inserted
            ],
        }
        for each in splices(result.before.segments, after.segments)
    ]
    return {
        "segments": changed,
        "speakers": list(after.speakers),
        "turns_without_words": to_plain(turns_without_words(after.segments, after.turns)),
    }


def page(rows: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    """A page of a list, in OpenAI's shape."""
    ids = [row["job_id"] for row in rows]
    return {
        "object": "list",
        "data": rows,
        "has_more": has_more,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def found(result: Found) -> dict[str, Any]:
    """The result of a search; each job with the segments that contain a word of the query."""
    rows = [
        {
            **entry(hit.job),
            "segments": [segment(at, each, hit.job.names) for at, each in hit.segments],
        }
        for hit in result.hits
    ]
    return {**page(rows, not result.complete), "complete": result.complete}


def segment(place: int, each: Segment, names: Mapping[str, str]) -> dict[str, Any]:
    """A segment with its place and the name of its speaker."""
    return {
        "segment": place,
        "start": each.start,
        "end": each.end,
        "speaker": each.speaker,
        "name": each.speaker and (names.get(each.speaker) or each.speaker),
        "text": each.text,
    }


def edits(log: EditLog) -> list[dict[str, Any]]:
    """The log of edits: each with its step, and whether it was undone."""
    rows, step = [], 0
    standing = {place for each in log.steps()[0] for place in each}
    for place, edit in enumerate(log.edits):
        step += not edit.joined
        undone = place not in standing and edit.kind not in {"undo", "redo"}
        row = {"step": step, "undone": undone, "summary": summary(edit)}
        rows.append({**to_plain(edit), **row, "made_at": moment(edit.made_at)})
    return rows


def summary(edit: Edit) -> str:
    """An edit as a sentence."""
    who, source = edit.speaker or "unknown", edit.source or "unknown"
    sentences = {
        "text": f"Segment {edit.segment} got other words.",
        "speaker": f"Segment {edit.segment} was given to {who}.",
        "split": f"Segment {edit.segment} was split before word {edit.at}.",
        "merge": f"Segment {edit.segment} was merged with the next one.",
        "replace": f"{edit.find!r} became {edit.text!r} everywhere.",
        "reassign": f"All that {source} said was given to {who}.",
        "name": f"{who} is called {edit.text!r}." if edit.text else f"{who} has no name any more.",
        "undo": "The latest step was undone.",
        "redo": "What was undone came back.",
    }
    return sentences[edit.kind]
