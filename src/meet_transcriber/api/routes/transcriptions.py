"""Routes that only look: status, lists, exports, edits."""

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
from meet_transcriber.api.openapi import answer_in, problems, ref, response
from meet_transcriber.api.schemas import FORMATS
from meet_transcriber.api.status_cache import StatusCache
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.core.jobs import SHOWN, JobQuery, Order, State

router = APIRouter(tags=["transcriptions"], default_response_class=Response)

IfNoneMatch = Annotated[
    str | None, Header(description="An ETag; an answer that is still the same is 304.")
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
    summary="List jobs, or search what was said",
    responses={
        **answer_in(
            200,
            "Jobs in order of creation, or hits.",
            {_JSON: {"anyOf": [ref("JobPage"), ref("Hits")]}},
        ),
        **problems(404, 422),
    },
)
def list_jobs(
    request: Request,
    service: ReaderService,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs in a page.")] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By time of creation.")] = "desc",
    after: Annotated[str | None, Query(description="`last_id` of the page before.")] = None,
    status: Annotated[
        list[_Status] | None,
        Query(description="Only jobs in this state, empty for any; may be repeated."),
    ] = None,
    q: Annotated[str, Query(description="Only recordings whose name contains this.")] = "",
    search: Annotated[
        str | None,
        Query(min_length=1, description="Words that were said; with it, only `limit` counts."),
    ] = None,
) -> Response:
    """
    Jobs, newest first, a page at a time: while `has_more`, ask again with `after=last_id`.

    With `search`, completed meetings in which all these words were said, with the segments that
    have them; `complete` says whether all meetings were looked at.
    """
    _given_once(request, but="status")
    states = _states(status)
    if search is not None:
        mark_content_read(request)
        return _json(serializers.found(service.queries.search(search, limit)))
    query = JobQuery(limit + 1, _order(order), after or None, states, q)
    jobs = service.queries.page(query)
    rows = [serializers.entry(job) for job in jobs[:limit]]
    return _json(serializers.page(rows, has_more=len(jobs) > limit))


def _given_once(request: Request, but: str) -> None:
    """Refuse what is in the query twice, as one of the two would be passed over in silence."""
    names = Counter(name for name, _ in request.query_params.multi_items())
    if twice := [name for name, count in names.items() if count > 1 and name != but]:
        raise InvalidOptions(f"{min(twice)} was given twice; give it once.")


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
    summary="Status, and the transcript once it is there",
    responses={
        **response(200, "The job.", "Job", ("ETag", "Retry-After")),
        **response(304, "Nothing changed.", None, ("ETag", "Retry-After")),
        **problems(404, 422),
    },
)
async def get_job(
    request: Request,
    service: ReaderService,
    job_id: JobId,
    transcript: Annotated[
        bool, Query(description="Whether the transcript comes along once it is there.")
    ] = True,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """How far a job is; ask again after `Retry-After` seconds, or follow its events."""
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
    summary="The transcript in any format",
    responses={
        **answer_in(
            200,
            "The transcript.",
            _KINDS,
            "Content-Disposition",
            "ETag",
        ),
        **response(304, "Nothing changed.", None, ("ETag",)),
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
    """The transcript as a file, people's names applied."""
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
    summary="The waveform's outline, for drawing",
    responses={
        **answer_in(
            200,
            "The outline. As octets: a byte of steps a second, then pairs of signed bytes.",
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
    """Lowest and highest sample per step; there once the recording is prepared."""
    kind = negotiate(accept, {_JSON: _JSON, "application/octet-stream": "application/octet-stream"})
    _, data = service.queries.peaks(job_id)
    headers = {"Vary": "Accept"}
    if kind != _JSON:
        return Response(data, 200, headers, kind)
    values = list(memoryview(data)[1:].cast("b"))
    return Response(
        serializers.dumped({"per_second": data[0], "data": values}), 200, headers, _JSON
    )


@router.get(
    "/transcribe/{job_id}/edits",
    operation_id="listEdits",
    summary="What people changed",
    responses={
        **response(200, "All edits in order.", "Edits", ("ETag",)),
        **problems(404, 409, 422),
    },
)
def list_edits(service: ReaderService, job_id: JobId) -> Response:
    """The log of edits since the machine wrote the transcript; undoing is an edit too."""
    job, _ = service.queries.transcript(job_id)
    log = service.queries.edits(job)
    body = {"object": "list", "data": serializers.edits(log)}
    return Response(serializers.dumped(body), 200, {"ETag": f'"{serializers.edition(job)}"'}, _JSON)


def _json(body: object) -> Response:
    return Response(serializers.dumped(body), media_type=_JSON)
