"""Routes that submit recordings, or run jobs again."""

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar
from urllib.parse import parse_qsl

import anyio
from fastapi import Header
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import SubmitService, settings_of
from meet_transcriber.api.bodies import (
    MOST_VALUES,
    SMALL_BODY_BYTES,
    content_type,
    json_body,
    read_json,
    receive,
    small_body,
    too_many_values,
)
from meet_transcriber.api.compute import check_not_stopping, run_compute
from meet_transcriber.api.http import JobId
from meet_transcriber.api.openapi import parameter, problems, request_body, response, tagged_router
from meet_transcriber.api.options import Submission, SubmissionForm, read_options
from meet_transcriber.api.schemas import RerunRequest, UploadForm, components
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest
from meet_transcriber.core.executors import FairExecutor
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.speaker_timeline import MAX_BYTES, SPEAKER_TIMELINE
from meet_transcriber.service import Service, SubmissionRequest

P = ParamSpec("P")
T = TypeVar("T")

router = tagged_router("transcriptions")

_FORM, _LONG_FORM = "application/x-www-form-urlencoded", "multipart/form-data"
_ACCEPTED = ("Location", "Retry-After")
_TIMELINE_BYTES = 2 * MAX_BYTES  # as UTF-16
_BODY_BYTES = SMALL_BODY_BYTES + 6 * MAX_BYTES  # JSON may write a byte as six
_BY_QUERY = [
    parameter(name, "query", schema, style="form", explode=True)
    for name, schema in components()["SubmissionForm"]["properties"].items()
    if name != "speaker_timeline"
]


@router.post(
    "/transcribe",
    summary="Submit a recording",
    status_code=202,
    responses=response(202, "The recording was accepted.", "Accepted", _ACCEPTED)
    | problems(400, 404, 408, 409, 413, 415, 422, 507),
    openapi_extra={
        **request_body(Submission, {_LONG_FORM: UploadForm, _FORM: SubmissionForm}),
        "parameters": _BY_QUERY,
    },
)
async def submit_transcription(
    request: Request,
    service: SubmitService,
    idempotency_key: Annotated[
        str | None,
        Header(description="A repeated request with the same key returns the job of the first."),
    ] = None,
) -> Response:
    """
    Send a recording as the form's `file`, or name a `url` to fetch it from, or an `upload`.

    Options are fields of the form, before or after the file, parameters of the query, or fields
    of the JSON object that contains the `url` or `upload`. Submitting an upload again returns the
    same job. An unknown option is an error.

    A `speaker_timeline`, which says who spoke when as a conference system recorded it, is a field
    or a file of the form, or a field of the JSON object; its names are applied where they match.
    """
    kind = content_type(request)
    if kind == _LONG_FORM:
        job = await _submit_form(request, service, idempotency_key)
    else:
        with request.app.state.texts.hold(request) as grow:
            data = await small_body(request, _BODY_BYTES, grow)
            # In a limited thread, as a body with a timeline may have megabytes.
            asked = await run_limited(request, _parse_body, request, kind, data)
            job = await _submit_reference(request, service, asked, idempotency_key)
    return await accepted_response(request, service, job)


def _parse_body(request: Request, kind: str, data: bytes) -> Submission:
    sent: list[tuple[str, object]] = [*request.query_params.multi_items()]
    if kind == "application/json":
        return read_options([*sent, *read_json(data).items()])
    if kind not in {"", _FORM} or (data and not kind):
        raise HTTPException(415, f"Send {_LONG_FORM}, application/json or {_FORM}.")
    if data.count(b"&") >= MOST_VALUES:
        raise too_many_values()
    try:
        fields = parse_qsl(data.decode(), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise MalformedRequest("The form is not valid UTF-8.") from error
    return read_options([*sent, *fields])


async def _submit_form(request: Request, service: Service, key: str | None) -> Job:
    texts = {"speaker_timeline": _TIMELINE_BYTES}
    async with receive(request, service, idempotency_key=key, text_files=texts) as received:
        sent = [*request.query_params.multi_items(), *received.fields]
        asked = await run_limited(request, read_options, sent)
        if received.file is None:
            return await _submit_reference(request, service, asked, key)
        if asked.url is not None or asked.upload is not None:
            raise InvalidOptions("There is a file, and a url or an upload; send only one of them.")
        submission = await run_limited(request, _submission_request, request, asked)
        return await run_limited(request, received.file.finish, submission)


async def _submit_reference(
    request: Request, service: Service, asked: Submission, key: str | None
) -> Job:
    """Submit the `url` or `upload` that a request names."""
    if asked.url is not None and asked.upload is not None:
        raise InvalidOptions("There is a url and an upload; name only one of them.")
    submissions = service.submissions
    submission = await run_limited(request, _submission_request, request, asked)
    if asked.upload is not None:
        return await run_limited(request, submissions.submit_upload, asked.upload, submission, key)
    if asked.url is None:
        raise InvalidOptions(
            "There is no recording: send a file, or name a url to fetch, or an upload."
        )
    return await run_limited(
        request, submissions.submit_url, asked.url, submission, idempotency_key=key
    )


def _submission_request(request: Request, asked: Submission) -> SubmissionRequest:
    """Not for the thread of the event loop: a timeline may have 20,000 entries."""
    options = asked.with_defaults(settings_of(request))
    if asked.speaker_timeline is None:
        return SubmissionRequest(options, asked.webhook_url)
    timeline = json.dumps(to_plain(asked.speaker_timeline)).encode()
    return SubmissionRequest(options, asked.webhook_url, {SPEAKER_TIMELINE: timeline})


@router.post(
    "/transcribe/{job_id}/rerun",
    summary="Run a job again, or some of its tasks",
    status_code=202,
    responses=response(202, "The job begins again.", "Accepted", _ACCEPTED)
    | problems(400, 404, 409, 413, 422),
    openapi_extra=request_body(RerunRequest),
)
async def rerun_transcription(
    request: Request,
    service: SubmitService,
    job_id: JobId,
    body: Annotated[RerunRequest, json_body(RerunRequest)],
) -> Response:
    """
    Run an ended job again, from its first task or only the named tasks.

    Options that are given replace those of the job. Edits are put aside with the words they
    belonged to.
    """
    options = body.options.named if body.options else {}
    job = await run_compute(request, service.commands.rerun, job_id, body.tasks or [], options)
    return await accepted_response(request, service, job)


async def accepted_response(request: Request, service: Service, job: Job) -> Response:
    """The response for a job that was submitted or runs again."""
    request.state.job = job
    wait = await run_in_threadpool(service.queries.wait, job)
    headers = {
        "Location": serializers.path_of(job.id),
        "Retry-After": str(serializers.RETRY_PENDING_SECONDS),
    }
    return JsonResponse(serializers.accepted(job, wait), 202, headers)


# -- limited threads -----------------------------------------------------------------------------

TENANT_THREADS = 8  # a fourth of all: one slow tenant leaves room for others
THREADS = 32


def probe_executor() -> FairExecutor:
    """
    The threads of this process that examine untrusted input.

    The sender decides how long a call takes: its name server need not answer, and its recording
    may keep a decoder busy up to the limits. In the threads that all requests share, a few dozen
    such calls of one tenant would block everyone. The decoder's places, which are fewer, are
    shared fairly as well (`service/probing.py`).
    """
    return FairExecutor(THREADS, "examine", share=TENANT_THREADS)


async def run_limited(
    request: Request, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """
    Call what examines input of this request, in a thread when its tenant's turn comes.

    Raises:
        StorageUnavailable: the server stops.
    """
    executor: FairExecutor = request.app.state.probe_executor
    future = executor.submit(request.state.caller.tenant, call, *args, **kwargs)
    waiting = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not future.cancel():  # it runs on with what the caller would clean up
            with anyio.CancelScope(shield=True):
                await asyncio.wait([waiting])
            waiting.exception()  # else its loss would be logged
        check_not_stopping(waiting)
        raise
