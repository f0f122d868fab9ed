"""Routes that begin work: a recording comes in, or is to be fetched; or is done again."""

import json
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import ToSubmit
from meet_transcriber.api.forms import FIELDS_BYTES, receive, small_body
from meet_transcriber.api.http import IdempotencyKey, JobId, json_body, read_json, settings_of
from meet_transcriber.api.openapi import parameter, problems, request_body, response
from meet_transcriber.api.options import Pairs, Submission, SubmissionForm, read_options
from meet_transcriber.api.schemas import RerunRequest, UploadForm, components
from meet_transcriber.api.thread_limits import run_limited
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.speaker_timeline import MAX_BYTES, SPEAKER_TIMELINE
from meet_transcriber.service import Service, SubmissionRequest

router = APIRouter(tags=["transcriptions"], default_response_class=Response)

_FORM, _LONG_FORM = "application/x-www-form-urlencoded", "multipart/form-data"
_ACCEPTED = ("Location", "Retry-After")
_TIMELINE_BYTES = 2 * MAX_BYTES  # as UTF-16
_BODY_BYTES = FIELDS_BYTES + 6 * MAX_BYTES  # JSON may write a byte as six
_BY_QUERY = [
    parameter(name, "query", schema, style="form", explode=True)
    for name, schema in components()["SubmissionForm"]["properties"].items()
    if name != "speaker_timeline"
]


@router.post(
    "/transcribe",
    operation_id="submitTranscription",
    summary="Submit a recording",
    status_code=202,
    responses={
        **response(202, "The recording was taken in.", "Accepted", _ACCEPTED),
        **problems(400, 404, 408, 409, 413, 415, 422, 507),
    },
    openapi_extra={
        **request_body(Submission, {_LONG_FORM: UploadForm, _FORM: SubmissionForm}),
        "parameters": _BY_QUERY,
    },
)
async def submit(
    request: HttpRequest, service: ToSubmit, idempotency_key: IdempotencyKey = None
) -> Response:
    """
    Send a recording as the form's `file`, or name a `url` to fetch it from, or an `upload`.

    Options go into the form, before or behind the file, into the query, or into the JSON object
    that has the `url` or `upload`. An upload that is submitted again gives the same job. An
    option that does not exist is an error.

    A `speaker_timeline`, who was speaking when as a conference system noted it, may go along as a
    field, as a file of the form, or in the JSON object: its names are taken over where they fit.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _LONG_FORM:
        job = await _from_form(request, service, idempotency_key)
    else:
        sent = [*request.query_params.multi_items(), *await _pairs(request, kind)]
        wishes = await run_in_threadpool(read_options, sent)  # a timeline takes its time
        job = await _from_elsewhere(request, service, wishes, idempotency_key)
    return await _accepted(request, service, job)


async def _pairs(request: HttpRequest, kind: str) -> Pairs:
    data = await small_body(request, _BODY_BYTES)
    if kind == "application/json":
        return list(read_json(data).items())
    if kind not in {"", _FORM} or (data and not kind):
        raise HTTPException(415, f"Send {_LONG_FORM}, application/json or {_FORM}.")
    try:
        return parse_qsl(data.decode(), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise MalformedRequest("The form cannot be read: it is no UTF-8.") from error


async def _from_form(request: HttpRequest, service: Service, key: str | None) -> Job:
    texts = {"speaker_timeline": _TIMELINE_BYTES}
    received = await receive(request, service, idempotency_key=key, text_files=texts)
    async with received:
        sent = [*request.query_params.multi_items(), *received.fields]
        wishes = await run_in_threadpool(read_options, sent)
        if not received.has_upload:
            return await _from_elsewhere(request, service, wishes, key)
        if wishes.url is not None or wishes.upload is not None:
            raise InvalidOptions("There is a file, and a url or an upload; send one of them.")
        return await run_limited(request, received.upload.finish, _asked(request, wishes))


async def _from_elsewhere(
    request: HttpRequest, service: Service, wishes: Submission, key: str | None
) -> Job:
    asked = _asked(request, wishes)
    if wishes.url is not None and wishes.upload is not None:
        raise InvalidOptions("There is a url and an upload; name one of them.")
    if wishes.upload is not None:
        return await run_limited(
            request, service.submissions.submit_upload, wishes.upload, asked, key
        )
    if wishes.url is None:
        raise InvalidOptions(
            "There is no recording: send a file, or name a url to fetch, or an upload."
        )
    return await run_limited(
        request, service.submissions.submit_url, wishes.url, asked, idempotency_key=key
    )


def _asked(request: HttpRequest, wishes: Submission) -> SubmissionRequest:
    options = wishes.with_defaults(settings_of(request))
    if wishes.speaker_timeline is None:
        return SubmissionRequest(options, wishes.webhook_url)
    kept = json.dumps(to_plain(wishes.speaker_timeline)).encode()
    return SubmissionRequest(options, wishes.webhook_url, {SPEAKER_TIMELINE: kept})


@router.post(
    "/transcribe/{job_id}/rerun",
    operation_id="rerunTranscription",
    summary="Do a job again, or some of its tasks",
    status_code=202,
    responses={
        **response(202, "The job begins again.", "Accepted", _ACCEPTED),
        **problems(400, 404, 409, 413, 422),
    },
    openapi_extra=request_body(RerunRequest),
)
async def rerun(
    request: HttpRequest,
    service: ToSubmit,
    job_id: JobId,
    body: Annotated[RerunRequest, json_body(RerunRequest)],
) -> Response:
    """
    Run an ended job again, from its first task or only the tasks that are named.

    Options that are given replace those of the job; what people changed is put aside with the
    words it belonged to.
    """
    options = body.options.named if body.options else {}
    job = await run_in_threadpool(service.commands.rerun, job_id, body.tasks or [], options)
    return await _accepted(request, service, job)


async def _accepted(request: HttpRequest, service: Service, job: Job) -> Response:
    request.state.job = job
    wait = await run_in_threadpool(service.queries.wait, job)
    headers = {
        "Location": serializers.path_of(job.id),
        "Retry-After": str(serializers.RETRY_PENDING_SECONDS),
    }
    body: dict[str, Any] = serializers.accepted(job, wait)
    return Response(serializers.dumped(body), 202, headers, "application/json")
