"""Routes that read jobs: status, lists, search, exports, edits."""

from collections import Counter
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Header, Query
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import ReaderService
from meet_transcriber.api.errors import OptionProblems
from meet_transcriber.api.http import JobId, attachment, matches, negotiate
from meet_transcriber.api.middleware.audit import mark_content_read
from meet_transcriber.api.openapi import problems, ref, response, response_in
from meet_transcriber.api.schemas import FORMATS
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.api.status_cache import StatusCache
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.core.jobs import SHOWN, JobQuery, Order, State

router = APIRouter(tags=["transcriptions"], default_response_class=Response)

IfNoneMatch = Annotated[
    str | None, Header(description="An ETag; the response is 304 if it still matches.")
]
_Status = Annotated[str, WithJsonSchema({"type": "string", "enum": [*SHOWN, ""]})]
_JSON = "application/json"
_KINDS = {
    each.media_type: {"type": "object" if each.media_type == _JSON else "string"}
    for each in EXPORTERS.values()
}
_BY_KIND = {each.media_type: name for name, each in reversed([*EXPORTERS.items()])}
_BY_KIND = {_JSON: "json", **{kind: name for kind, name in _BY_KIND.items() if kind != _JSON}}


@router.get(
    "/transcribe",
    operation_id="listTranscriptions",
    summary="List jobs, or search transcripts",
    responses={
        **response_in(
            200,
            "Jobs in order of creation, or the hits of a search.",
            {_JSON: {"anyOf": [ref("JobPage"), ref("Hits")]}},
        ),
        **problems(404, 422),
    },
)
def list_jobs(
    request: Request,
    service: ReaderService,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs per page.")] = 20,
    order: Annotated[
        Literal["asc", "desc"], Query(description="Order by time of creation.")
    ] = "desc",
    after: Annotated[str | None, Query(description="`last_id` of the previous page.")] = None,
    status: Annotated[
        list[_Status] | None,
        Query(description="Only jobs in this state; empty for any; may be repeated."),
    ] = None,
    q: Annotated[str, Query(description="Only recordings whose name contains this.")] = "",
    search: Annotated[
        str | None,
        Query(min_length=1, description="Words to search for; with it, only `limit` applies."),
    ] = None,
) -> Response:
    """
    Jobs, newest first, page by page: while `has_more`, request the next with `after=last_id`.

    With `search`, completed meetings that contain all these words, with the segments that have
    one; `complete` says whether all meetings were searched.
    """
    _refuse_repetition(request, but="status")
    states = _states(status)
    if search is not None:
        mark_content_read(request)
        return JsonResponse(serializers.found(service.queries.search(search, limit)))
    query = JobQuery(limit + 1, _order(order), after or None, states, q)
    jobs = service.queries.page(query)
    rows = [serializers.entry(job) for job in jobs[:limit]]
    return JsonResponse(serializers.page(rows, has_more=len(jobs) > limit))


def _refuse_repetition(request: Request, but: str) -> None:
    """Refuse repeated parameters, as one of the values would be ignored."""
    names = Counter(name for name, _ in request.query_params.multi_items())
    if twice := [name for name, count in names.items() if count > 1 and name != but]:
        raise InvalidOptions(f"{min(twice)} was given twice; send it once.")


def _order(text: str) -> Order:
    return "asc" if text == "asc" else "desc"


def _states(wanted: list[str] | None) -> tuple[State, ...]:
    names = [name for text in wanted or () for name in text.split(",") if name]
    states = tuple(state for state in get_args(State) if state in names and state in SHOWN)
    if unknown := set(names) - set(states):
        why = f"There is no status {min(unknown)!r}; there are: {', '.join(SHOWN)}."
        raise OptionProblems([("status", why)])
    return states


@router.get(
    "/transcribe/{job_id}",
    operation_id="getTranscription",
    summary="Get a job, and its transcript once it is completed",
    responses={
        **response(200, "The job.", "Job", ("ETag", "Retry-After")),
        **response(304, "Not modified.", None, ("ETag", "Retry-After")),
        **problems(404, 422),
    },
)
async def get_job(
    request: Request,
    service: ReaderService,
    job_id: JobId,
    transcript: Annotated[
        bool, Query(description="Include the transcript once it is available.")
    ] = True,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The status of a job; poll again after `Retry-After` seconds, or follow its events."""
    statuses: StatusCache = request.app.state.statuses
    status = await statuses.get(service.queries, job_id, transcript)
    headers = {"ETag": status.etag, "Cache-Control": "no-cache"}
    if status.retry_after is not None:
        headers["Retry-After"] = str(status.retry_after)
    if matches(if_none_match, status.etag):
        return Response(status_code=304, headers=headers)
    if status.has_transcript:
        mark_content_read(request)
    return Response(status.body, 200, headers, _JSON)


@router.get(
    "/transcribe/{job_id}/download",
    operation_id="downloadTranscription",
    summary="Download the transcript in any format",
    responses={
        **response_in(
            200,
            "The transcript.",
            _KINDS,
            "Content-Disposition",
            "ETag",
        ),
        **response(304, "Not modified.", None, ("ETag",)),
        **problems(404, 406, 409, 422),
    },
)
def download(
    service: ReaderService,
    job_id: JobId,
    form: Annotated[
        str | None,
        Query(
            alias="format",
            description="The format; else what Accept prefers, else json.",
            json_schema_extra={
                "enum": FORMATS,
                "x-enum-descriptions": [each.summary for each in EXPORTERS.values()],
            },
        ),
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The transcript as a file, with the names of people."""
    if form is None:
        form = negotiate(accept, _BY_KIND)
    job, data = service.queries.export(job_id, form)
    exporter = EXPORTERS[form]
    etag = f'"{serializers.edition(job)}.{form}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept"}
    if matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = attachment(job.name, exporter.extension)
    kind = exporter.media_type
    charset = "; charset=utf-8" if exporter.is_text and kind != _JSON else ""
    headers["Content-Type"] = kind + charset
    return Response(data, 200, headers)


@router.get(
    "/transcribe/{job_id}/peaks",
    operation_id="getPeaks",
    summary="Get the outline of the waveform",
    responses={
        **response_in(
            200,
            "The outline. As octets: a byte of steps per second, then pairs of signed bytes.",
            {
                _JSON: ref("Peaks"),
                "application/octet-stream": {"type": "string", "format": "binary"},
            },
        ),
        **problems(404, 406, 409, 422),
    },
)
def peaks(
    service: ReaderService,
    job_id: JobId,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Lowest and highest sample per step; available once the recording is prepared."""
    kind = negotiate(accept, {_JSON: _JSON, "application/octet-stream": "application/octet-stream"})
    _, data = service.queries.peaks(job_id)
    headers = {"Vary": "Accept"}
    if kind != _JSON:
        return Response(data, 200, headers, kind)
    values = list(memoryview(data)[1:].cast("b"))
    return JsonResponse({"per_second": data[0], "data": values}, 200, headers)


@router.get(
    "/transcribe/{job_id}/edits",
    operation_id="listEdits",
    summary="List the edits of a transcript",
    responses={
        **response(200, "All edits, in order.", "Edits", ("ETag",)),
        **problems(404, 409, 422),
    },
)
def list_edits(service: ReaderService, job_id: JobId) -> Response:
    """The log of edits since the transcript was generated; an undo is an edit, too."""
    job, log = service.queries.edit_log(job_id)
    body = {"object": "list", "data": serializers.edits(log)}
    return JsonResponse(body, 200, {"ETag": f'"{serializers.edition(job)}"'})
