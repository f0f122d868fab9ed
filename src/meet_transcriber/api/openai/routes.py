"""The endpoints that OpenAI's clients call; behind each transcription is a job like any other."""

import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from meet_transcriber.api.auth import ReaderService, ToTranscribe
from meet_transcriber.api.forms import FIELDS_BYTES, receive, refuse_unless_form
from meet_transcriber.api.openai import requests
from meet_transcriber.api.openai.errors import ApiError, EnvelopeRoute
from meet_transcriber.api.openai.models import Catalogue
from meet_transcriber.api.openai.openapi import described, failures
from meet_transcriber.api.openai.requests import REFERENCES_BYTES, check_lengths, missing, stored
from meet_transcriber.api.openai.responses import Waiter, answer, failure_of, upload_settled
from meet_transcriber.api.openai.stream import EventStream, events
from meet_transcriber.api.thread_limits import run_limited
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Task
from meet_transcriber.service import Service
from meet_transcriber.service import SubmissionRequest as JobRequest
from meet_transcriber.settings import Settings


class _Anything(PathConvertor):
    """The rest of a path, line breaks included, which starlette's own `path` does not match."""

    regex = "(?s:.*)"


register_url_convertor("anything", _Anything())

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def openai_router(settings: Settings) -> APIRouter:
    """The routes of /v1. Errors leave in OpenAI's envelope."""
    router = APIRouter(prefix="/v1", route_class=EnvelopeRoute, tags=["OpenAI"])
    desk = _Desk(settings)
    tasks: tuple[tuple[str, Task], ...] = (
        ("/audio/transcriptions", "transcribe"),
        ("/audio/translations", "translate"),
    )
    for path, task in tasks:
        router.add_api_route(
            path,
            _endpoint(desk, task),
            methods=["POST"],
            operation_id="createTranscription" if task == "transcribe" else "createTranslation",
            summary=f"{task.capitalize()} a recording and wait for the result",
            **described(task),
        )
    catalogue = Catalogue(settings, round(time.time()))
    _add_models(router, catalogue)
    known = {*(path for path, _ in tasks), "/models"}
    router.add_api_route(
        "/{path:anything}", partial(_unknown, known), methods=_METHODS, include_in_schema=False
    )
    return router


def _add_models(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get(
        "/models",
        operation_id="listModels",
        summary="List the models",
        responses=failures(401, 403, 429, 500, 503),
    )
    async def models(_service: ReaderService) -> dict[str, Any]:
        return catalogue.listing()

    @router.get(
        "/models/{model:anything}",
        operation_id="retrieveModel",
        summary="Show a model",
        responses=failures(401, 403, 404, 429, 500, 503),
    )
    async def model(model: str, _service: ReaderService) -> dict[str, Any]:
        return catalogue.entry(model)


def _endpoint(desk: "_Desk", task: Task) -> Any:
    async def transcribe(request: Request, service: ToTranscribe) -> Response:
        return await desk.serve(request, service, task)

    return transcribe


async def _unknown(known: set[str], request: Request, path: str) -> Response:
    """What no route is for: another method of a known path, or an unknown one."""
    if f"/{path}" in known or path.startswith("models/"):
        allow = "GET" if path.startswith("models") else "POST"
        message = f"{request.method} is not for /v1/{path}; use {allow}."
        raise ApiError(405, message, code="method_not_allowed", headers={"allow": allow})
    raise ApiError(404, f"There is no /v1/{path[:100]} here.", code="unknown_url")


class _Desk:
    """Takes requests in and answers them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._catalogue = Catalogue(settings, 0)

    async def serve(self, request: Request, service: Service, task: Task) -> Response:
        """The transcript of the recording in the request, or its events."""
        refuse_unless_form(request)
        key = request.headers.get("idempotency-key")
        asked, job = await self._taken_in(request, service, task, key)
        request.state.job = job
        waiter = Waiter(service, request, job, keeps=key is not None)
        if asked.stream:
            return EventStream(events(service, asked, waiter), {"x-job-id": job.id})
        job = await waiter.end(self._settings.sync_limit_seconds)
        if failure := failure_of(job):
            raise failure
        job, transcript = await run_in_threadpool(service.queries.transcript, job.id)
        response = answer(asked, transcript)
        response.headers["x-job-id"] = job.id
        return response

    async def _taken_in(
        self, request: Request, service: Service, task: Task, key: str | None
    ) -> tuple[requests.TranscriptionRequest, Job]:
        await upload_settled(service, key)
        room = FIELDS_BYTES + (REFERENCES_BYTES if task == "transcribe" else 0)
        async with await receive(
            request, service, idempotency_key=key, fields_bytes=room
        ) as received:
            sent = [*request.query_params.multi_items(), *received.fields]
            asked = requests.read(sent, task, self._catalogue, self._settings)
            if not received.has_upload:
                raise missing("file")
            if asked.known:
                await run_limited(request, check_lengths, asked.known, service.context.decoder)
            wish = JobRequest(asked.options, extras=stored(asked.known))
            job = await run_limited(request, received.upload.finish, wish)
        return asked, job
