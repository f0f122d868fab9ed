"""The endpoints of OpenAI's audio API; each transcription is an ordinary job."""

import time
from functools import partial
from typing import Any

from fastapi import Depends, Request
from fastapi.responses import JSONResponse
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import Response

from meet_transcriber.api.auth import ReaderService, TranscribeService, settings_of
from meet_transcriber.api.bodies import SMALL_BODY_BYTES, content_type, receive
from meet_transcriber.api.compute import run_compute
from meet_transcriber.api.openai.errors import ApiError, EnvelopeRoute
from meet_transcriber.api.openai.requests import (
    LISTS,
    REFERENCES_BYTES,
    ModelCatalogue,
    TranscriptionForm,
    TranscriptionRequest,
    as_extras,
    check_lengths,
    fields_of,
    missing,
    read_request,
)
from meet_transcriber.api.openai.responses import (
    EventStream,
    JobWaiter,
    events,
    failure_of,
    transcript_response,
    wait_for_upload,
)
from meet_transcriber.api.openapi import Responses, parameter, tagged_router
from meet_transcriber.api.routes.events import acquire_stream
from meet_transcriber.api.routes.submissions import run_limited
from meet_transcriber.api.schemas import FormSchema
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Task
from meet_transcriber.service import Service, SubmissionRequest

_FIELDS = {
    "message": {"type": "string"},
    "type": {"type": "string"},
    "param": {"type": ["string", "null"]},
    "code": {"type": ["string", "null"]},
}
_DETAILS = {"type": "object", "required": list(_FIELDS), "properties": _FIELDS}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": _DETAILS}}
_STATUSES = {
    400: "A field or the recording is invalid",
    401: "The API key is missing, unknown, revoked or expired",
    403: "The API key lacks the scope",
    404: "The model does not exist",
    409: "The first request with this Idempotency-Key is still being received",
    413: "The recording is too large",
    415: "The body is not a multipart form",
    422: "The Idempotency-Key was used for another request",
    429: "A rate limit or quota is exceeded",
    500: "The job failed",
    503: "An engine or the store is unavailable",
    504: "The job takes longer than SYNC_LIMIT_SECONDS, and continues",
    507: "There is no space for the recording",
}


def _described(task: Task) -> dict[str, Any]:
    """What `add_api_route` takes to describe an endpoint."""
    schema = TranscriptionForm.model_json_schema(schema_generator=FormSchema)
    known = {
        f"{name}[]" if name in LISTS else name: schema["properties"][name]
        for name in fields_of(task)
    }
    form = {
        "type": "object",
        "required": schema["required"],
        "additionalProperties": False,
        "properties": known,
    }
    key = parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "minLength": 1, "maxLength": 255},
        description="The same request with the same key returns the same job.",
    )
    body = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    content: dict[str, Any] = {"application/json": {"schema": {}}, "text/plain": {}}
    if task == "transcribe":
        content["text/event-stream"] = {}
    success = {"description": "The transcript; x-job-id names its job", "content": content}
    return {
        "openapi_extra": {"requestBody": body, "parameters": [key]},
        "responses": {200: success, **_failures(*_STATUSES)},
    }


def _failures(*statuses: int) -> Responses:
    content = {"application/json": {"schema": _ERROR}}
    return {each: {"description": _STATUSES[each], "content": content} for each in statuses}


class _AnyPath(PathConvertor):
    """The rest of a path, including line breaks, which starlette's own `path` does not match."""

    regex = "(?s:.*)"


register_url_convertor("anything", _AnyPath())

router = tagged_router("OpenAI", prefix="/v1", route_class=EnvelopeRoute)
_STARTED_AT = round(time.time())


@router.post(
    "/audio/transcriptions",
    summary="Transcribe a recording and wait for the result",
    dependencies=[Depends(acquire_stream)],
    **_described("transcribe"),
)
async def create_transcription(request: Request, service: TranscribeService) -> Response:
    """Send a recording and wait for its transcript; with `stream`, receive it as events."""
    return await _transcribe(request, service, "transcribe")


@router.post(
    "/audio/translations",
    summary="Translate a recording and wait for the result",
    dependencies=[Depends(acquire_stream)],
    **_described("translate"),
)
async def create_translation(request: Request, service: TranscribeService) -> Response:
    """Send a recording and wait for its transcript in English."""
    return await _transcribe(request, service, "translate")


@router.get(
    "/models",
    summary="List the models",
    response_class=JSONResponse,
    responses=_failures(401, 403, 429, 500, 503),
)
async def list_models(request: Request, _service: ReaderService) -> dict[str, Any]:
    """The configured model, under its name and those of OpenAI's models."""
    return _catalogue(request).listing()


@router.get(
    "/models/{model:anything}",
    summary="Show a model",
    response_class=JSONResponse,
    responses=_failures(401, 403, 404, 429, 500, 503),
)
async def retrieve_model(request: Request, model: str, _service: ReaderService) -> dict[str, Any]:
    """One of the listed models."""
    return _catalogue(request).entry(model)


@router.api_route(
    "/{path:anything}",
    methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    include_in_schema=False,
)
async def refuse(request: Request, path: str) -> Response:
    """Refuse every other request: another method of a known path, or an unknown path."""
    known = {"audio/transcriptions", "audio/translations", "models"}
    if path in known or path.startswith("models/"):
        allow = "GET" if path.startswith("models") else "POST"
        message = f"/v1/{path} does not accept {request.method}; use {allow}."
        raise ApiError(405, message, code="method_not_allowed", headers={"allow": allow})
    raise ApiError(404, f"/v1/{path[:100]} does not exist.", code="unknown_url")


def _catalogue(request: Request) -> ModelCatalogue:
    return ModelCatalogue(settings_of(request), _STARTED_AT)


async def _transcribe(request: Request, service: Service, task: Task) -> Response:
    """The transcript of the request's recording, or its events."""
    if content_type(request) != "multipart/form-data":
        raise HTTPException(415, "Send the recording as multipart/form-data.")
    key = request.headers.get("idempotency-key")
    await wait_for_upload(service, key)
    asked, job = await _submit(request, service, task, key)
    request.state.job = job
    waiter = JobWaiter(service, request, job, keeps=key is not None)
    if asked.stream:
        return EventStream(events(service, asked, waiter), {"x-job-id": job.id})
    job = await waiter.end(settings_of(request).sync_limit_seconds)
    if failure := failure_of(job):
        raise failure
    response = await run_compute(request, transcript_response, service, asked, job.id)
    response.headers["x-job-id"] = job.id
    return response


async def _submit(
    request: Request, service: Service, task: Task, key: str | None
) -> tuple[TranscriptionRequest, Job]:
    limit = SMALL_BODY_BYTES + (REFERENCES_BYTES if task == "transcribe" else 0)
    async with receive(request, service, idempotency_key=key, fields_bytes=limit) as received:
        sent = [*request.query_params.multi_items(), *received.fields]
        # In a limited thread, as references of known speakers have megabytes.
        asked = await run_limited(
            request, read_request, sent, task, _catalogue(request), settings_of(request)
        )
        if received.file is None:
            raise missing("file")
        if asked.known:
            probe = partial(service.context.probe, request.state.caller.tenant)
            await run_limited(request, check_lengths, asked.known, probe)
        submission = SubmissionRequest(asked.options, extras=as_extras(asked.known))
        job = await run_limited(request, received.file.finish, submission)
    return asked, job
