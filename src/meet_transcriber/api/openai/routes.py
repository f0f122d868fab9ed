"""The endpoints of OpenAI's audio API; each transcription is an ordinary job."""

import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import Response

from meet_transcriber.api.auth import ReaderService, TranscribeService
from meet_transcriber.api.forms import receive
from meet_transcriber.api.http import SMALL_BODY_BYTES, content_type, run_limited
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
from meet_transcriber.api.openapi import Responses, parameter
from meet_transcriber.api.schemas import FormSchema
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Task
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.settings import Settings

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
    return {
        "openapi_extra": {"requestBody": body, "parameters": [key]},
        "responses": {200: _success(task), **_failures(*_STATUSES)},
    }


def _failures(*statuses: int) -> Responses:
    content = {"application/json": {"schema": _ERROR}}
    return {each: {"description": _STATUSES[each], "content": content} for each in statuses}


def _success(task: Task) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {}, "text/plain": {}}
    if task == "transcribe":
        content["text/event-stream"] = {}
    return {"description": "The transcript; x-job-id names its job", "content": content}


class _AnyPath(PathConvertor):
    """The rest of a path, including line breaks, which starlette's own `path` does not match."""

    regex = "(?s:.*)"


register_url_convertor("anything", _AnyPath())

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def openai_router(settings: Settings) -> APIRouter:
    """The routes of /v1, whose errors are sent in OpenAI's envelope."""
    router = APIRouter(prefix="/v1", route_class=EnvelopeRoute, tags=["OpenAI"])
    catalogue = ModelCatalogue(settings, round(time.time()))
    endpoint = _TranscriptionEndpoint(settings, catalogue)
    tasks: tuple[tuple[str, Task], ...] = (
        ("/audio/transcriptions", "transcribe"),
        ("/audio/translations", "translate"),
    )
    for path, task in tasks:
        router.add_api_route(
            path,
            _handler(endpoint, task),
            methods=["POST"],
            operation_id="createTranscription" if task == "transcribe" else "createTranslation",
            summary=f"{task.capitalize()} a recording and wait for the result",
            **_described(task),
        )
    _add_models(router, catalogue)
    known = {*(path for path, _ in tasks), "/models"}
    router.add_api_route(
        "/{path:anything}", partial(_unknown, known), methods=_METHODS, include_in_schema=False
    )
    return router


def _add_models(router: APIRouter, catalogue: ModelCatalogue) -> None:
    @router.get(
        "/models",
        operation_id="listModels",
        summary="List the models",
        responses=_failures(401, 403, 429, 500, 503),
    )
    async def models(_service: ReaderService) -> dict[str, Any]:
        return catalogue.listing()

    @router.get(
        "/models/{model:anything}",
        operation_id="retrieveModel",
        summary="Show a model",
        responses=_failures(401, 403, 404, 429, 500, 503),
    )
    async def model(model: str, _service: ReaderService) -> dict[str, Any]:
        return catalogue.entry(model)


def _handler(endpoint: "_TranscriptionEndpoint", task: Task) -> Any:
    async def transcribe(request: Request, service: TranscribeService) -> Response:
        return await endpoint.serve(request, service, task)

    return transcribe


async def _unknown(known: set[str], request: Request, path: str) -> Response:
    """Refuses every other request: another method of a known path, or an unknown path."""
    if f"/{path}" in known or path.startswith("models/"):
        allow = "GET" if path.startswith("models") else "POST"
        message = f"/v1/{path} does not accept {request.method}; use {allow}."
        raise ApiError(405, message, code="method_not_allowed", headers={"allow": allow})
    raise ApiError(404, f"/v1/{path[:100]} does not exist.", code="unknown_url")


class _TranscriptionEndpoint:
    """Submits recordings and waits for their transcripts."""

    def __init__(self, settings: Settings, catalogue: ModelCatalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue

    async def serve(self, request: Request, service: Service, task: Task) -> Response:
        """The transcript of the request's recording, or its events."""
        if content_type(request) != "multipart/form-data":
            raise HTTPException(415, "Send the recording as multipart/form-data.")
        key = request.headers.get("idempotency-key")
        asked, job = await self._submit(request, service, task, key)
        request.state.job = job
        waiter = JobWaiter(service, request, job, keeps=key is not None)
        if asked.stream:
            return EventStream(events(service, asked, waiter), {"x-job-id": job.id})
        job = await waiter.end(self._settings.sync_limit_seconds)
        if failure := failure_of(job):
            raise failure
        job, transcript = await run_in_threadpool(service.queries.transcript, job.id)
        response = transcript_response(asked, transcript)
        response.headers["x-job-id"] = job.id
        return response

    async def _submit(
        self, request: Request, service: Service, task: Task, key: str | None
    ) -> tuple[TranscriptionRequest, Job]:
        await wait_for_upload(service, key)
        limit = SMALL_BODY_BYTES + (REFERENCES_BYTES if task == "transcribe" else 0)
        form = receive(request, service, idempotency_key=key, fields_bytes=limit)
        async with form as received:
            sent = [*request.query_params.multi_items(), *received.fields]
            asked = read_request(sent, task, self._catalogue, self._settings)
            if received.file is None:
                raise missing("file")
            if asked.known:
                await run_limited(request, check_lengths, asked.known, service.context.decoder)
            submission = SubmissionRequest(asked.options, extras=as_extras(asked.known))
            job = await run_limited(request, received.file.finish, submission)
        return asked, job
