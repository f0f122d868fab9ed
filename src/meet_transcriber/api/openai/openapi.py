"""The requests and answers of /v1 as the OpenAPI document tells them."""

from typing import Any

from meet_transcriber.api.openai.requests import FIELDS, FORMATS, Field
from meet_transcriber.core.options import MAX_SPEAKERS, Task

_SPEAKERS = {"type": "integer", "minimum": 1, "maximum": MAX_SPEAKERS}
_TYPES: dict[str, dict[str, Any]] = {
    "file": {"type": "string", "format": "binary"},
    "model": {"type": "string", "minLength": 1, "examples": ["whisper-1"]},
    "temperature": {"type": "number", "minimum": 0, "maximum": 1},
    "response_format": {"type": "string", "enum": list(FORMATS), "default": "json"},
    "stream": {"type": "boolean", "default": False},
    "diarization": {"type": "boolean"},
    "num_speakers": _SPEAKERS,
    "expected_speakers": _SPEAKERS,
    "min_speakers": _SPEAKERS,
    "max_speakers": _SPEAKERS,
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_STATUSES = {
    400: "A field or the recording cannot be used",
    401: "There is no API key, or it is unknown, was revoked or has expired",
    403: "The API key is not for this",
    404: "There is no such model",
    409: "The first request with this Idempotency-Key is still coming in",
    413: "The recording is too large",
    415: "The body is no multipart form",
    422: "The Idempotency-Key was used for another request",
    429: "Too much was asked for the moment, or for a tenant",
    500: "The job failed",
    503: "An engine or the store is not there",
    504: "It takes longer than SYNC_LIMIT_SECONDS; the job goes on",
    507: "There is no room for the recording",
}


def described(task: Task) -> dict[str, Any]:
    """What `add_api_route` takes to describe an endpoint of ours."""
    known = [field for field in FIELDS if task == "transcribe" or field.in_translations]
    form = {
        "type": "object",
        "required": ["file", "model"],
        "additionalProperties": False,
        "properties": dict(map(_property, known)),
    }
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "The same key with the same request gives the same job.",
    }
    body = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return {
        "openapi_extra": {"requestBody": body, "parameters": [key]},
        "responses": {200: _success(task), **failures(*_STATUSES)},
    }


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses with OpenAI's envelope."""
    return {status: _error(status) for status in statuses}


def _property(field: Field) -> tuple[str, dict[str, Any]]:
    if field.kind == "many":
        shape = {"type": "array", "items": {"type": "string"}}
        return f"{field.name}[]", {**shape, "description": field.effect}
    return field.name, {**_TYPES.get(field.name, {"type": "string"}), "description": field.effect}


def _success(task: Task) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {}, "text/plain": {}}
    if task == "transcribe":
        content["text/event-stream"] = {}
    return {"description": "The transcript; x-job-id names its job", "content": content}


def _error(status: int) -> dict[str, Any]:
    content = {"application/json": {"schema": _ERROR}}
    return {"description": _STATUSES[status], "content": content}
