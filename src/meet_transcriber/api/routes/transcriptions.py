"""Routes that read jobs: status, lists, search, exports, edits."""

import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, get_args

from fastapi import Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import ReaderService, authenticate_reader
from meet_transcriber.api.compute import run_compute
from meet_transcriber.api.errors import OptionProblems
from meet_transcriber.api.http import JobId, attachment, first_header, matches, negotiate
from meet_transcriber.api.middleware.rate_limit import known_mark
from meet_transcriber.api.middleware.request_log import mark_content_read
from meet_transcriber.api.openapi import problems, ref, response, response_in, tagged_router
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import EXPORTERS, export
from meet_transcriber.core.jobs import SHOWN, Job, JobQuery, State
from meet_transcriber.service import ChangeFeed, JobQueries, Service

router = tagged_router("transcriptions")

IfNoneMatch = Annotated[
    str | None, Header(description="An ETag; the response is 304 if it still matches.")
]
_Status = Annotated[str, WithJsonSchema({"type": "string", "enum": [*SHOWN, ""]})]
_JSON, _OCTETS = "application/json", "application/octet-stream"
_KINDS: dict[str, dict[str, Any]] = {
    each.media_type: {"type": ["object", "array"] if each.media_type == _JSON else "string"}
    for each in EXPORTERS.values()
}
_BY_KIND = {each.media_type: name for name, each in reversed([*EXPORTERS.items()])}
_BY_KIND = {_JSON: "json", **{kind: name for kind, name in _BY_KIND.items() if kind != _JSON}}


async def get_transcription(
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
    compute = partial(run_compute, request)
    mark = known_mark(request)
    status = await statuses.get(service.queries, job_id, transcript, compute, mark)
    headers = {"ETag": status.etag, "Cache-Control": "private, no-cache"}
    if status.retry_after is not None:
        headers["Retry-After"] = str(status.retry_after)
    if matches(if_none_match, status.etag):
        return Response(status_code=304, headers=headers)
    if status.has_transcript:
        mark_content_read(request)
    return Response(status.body, 200, headers, _JSON)


class _StatusRoute(APIRoute):
    """
    Calls `get_transcription` itself for the usual queries.

    Resolving its parameters takes FastAPI longer than everything else that a poll needs.
    """

    _TRANSCRIPT: ClassVar = {b"": True, b"transcript=true": True, b"transcript=false": False}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        transcript = self._TRANSCRIPT.get(scope["query_string"])
        if transcript is None or scope["method"] != "GET":
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        service = await authenticate_reader(request)
        job_id, etag = scope["path_params"]["job_id"], first_header(request, b"if-none-match")
        response = await get_transcription(request, service, job_id, transcript, etag)
        await response(scope, receive, send)


router.add_api_route(
    "/transcribe/{job_id}",
    get_transcription,
    summary="Get a job, and its transcript once it is completed",
    responses=response(200, "The job.", "Job", ("ETag", "Retry-After"))
    | response(304, "Not modified.", None, ("ETag", "Retry-After"))
    | problems(404, 422),
    route_class_override=_StatusRoute,
)


@router.get(
    "/transcribe",
    summary="List jobs, or search transcripts",
    responses=response_in(
        200,
        "Jobs in order of creation, or the hits of a search.",
        {_JSON: {"anyOf": [ref("JobPage"), ref("Hits")]}},
    )
    | problems(404, 422),
)
async def list_transcriptions(
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
        Query(
            min_length=1,
            description="Words to search for, at most 100; with it, only `limit` applies.",
        ),
    ] = None,
) -> Response:
    """
    Jobs, newest first, page by page: while `has_more`, request the next with `after=last_id`.

    With `search`, completed meetings that contain all these words, with the segments that have
    one; `complete` says whether all meetings were searched.
    """
    _refuse_repetition(request)
    states = _states(status)
    if search is not None:
        mark_content_read(request)
        return await run_compute(request, _search, service, search, limit)
    # One more than is shown says whether there is another page.
    query = JobQuery(limit + 1, order, after or None, states, q)
    if q or states:  # which may look at all jobs of the tenant to find a few
        return await run_compute(request, _page, service, query)
    return await run_in_threadpool(_page, service, query)


def _search(service: Service, words: str, limit: int) -> Response:
    return JsonResponse(serializers.found(service.queries.search(words, limit)))


def _page(service: Service, query: JobQuery) -> Response:
    jobs, limit = service.queries.page(query), query.limit - 1
    rows = [serializers.entry(job) for job in jobs[:limit]]
    return JsonResponse(serializers.page(rows, has_more=len(jobs) > limit))


def _refuse_repetition(request: Request) -> None:
    """Refuse repeated parameters but `status`, as all values but one would be ignored."""
    names = Counter(name for name, _ in request.query_params.multi_items())
    if twice := [name for name, count in names.items() if count > 1 and name != "status"]:
        raise InvalidOptions(f"{min(twice)} was given twice; send it once.")


def _states(wanted: list[str] | None) -> tuple[State, ...]:
    names = [name for text in wanted or () for name in text.split(",") if name]
    states = tuple(state for state in get_args(State) if state in names and state in SHOWN)
    if unknown := set(names) - set(states):
        why = f"There is no status {min(unknown)!r}; there are: {', '.join(SHOWN)}."
        raise OptionProblems([("status", why)])
    return states


@router.get(
    "/transcribe/{job_id}/download",
    summary="Download the transcript in any format",
    responses=response_in(200, "The transcript.", _KINDS, "Content-Disposition", "ETag")
    | response(304, "Not modified.", None, ("ETag",))
    | problems(404, 406, 409, 422),
)
async def download_transcription(
    request: Request,
    service: ReaderService,
    job_id: JobId,
    form: Annotated[
        str | None,
        Query(
            alias="format",
            description="The format; else what Accept prefers, else json.",
            json_schema_extra={
                "enum": list(EXPORTERS),
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
    return await run_compute(request, _download, service, job_id, form, if_none_match)


def _download(service: Service, job_id: str, form: str, if_none_match: str | None) -> Response:
    job, data = service.queries.export(job_id, form)
    exporter = EXPORTERS[form]
    etag = f'"{serializers.edition(job)}.{form}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept"}
    if matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = attachment(job.name, exporter.extension)
    charset = "; charset=utf-8" if exporter.is_text and exporter.media_type != _JSON else ""
    headers["Content-Type"] = exporter.media_type + charset
    return Response(data, 200, headers)


@router.get(
    "/transcribe/{job_id}/peaks",
    summary="Get the outline of the waveform",
    responses=response_in(
        200,
        "The outline. As octets: a byte of steps per second, then pairs of signed bytes.",
        {_JSON: ref("Peaks"), _OCTETS: {"type": "string", "format": "binary"}},
    )
    | problems(404, 406, 409, 422),
)
def get_peaks(
    service: ReaderService,
    job_id: JobId,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Lowest and highest sample per step; available once the recording is prepared."""
    kind = negotiate(accept, {_JSON: _JSON, _OCTETS: _OCTETS})
    _, data = service.queries.peaks(job_id)
    headers = {"Vary": "Accept"}
    if kind != _JSON:
        return Response(data, 200, headers, kind)
    values = list(memoryview(data)[1:].cast("b"))
    return JsonResponse({"per_second": data[0], "data": values}, 200, headers)


@router.get(
    "/transcribe/{job_id}/edits",
    summary="List the edits of a transcript",
    responses=response(200, "All edits, in order.", "Edits", ("ETag",)) | problems(404, 409, 422),
)
async def list_edits(request: Request, service: ReaderService, job_id: JobId) -> Response:
    """The log of edits since the transcript was generated; an undo is an edit, too."""
    return await run_compute(request, _edits, service, job_id)


def _edits(service: Service, job_id: str) -> Response:
    job, edited = service.queries.edited_transcript(job_id)
    body = {"object": "list", "data": serializers.edits(edited.log)}
    return JsonResponse(body, 200, {"ETag": f'"{serializers.edition(job)}"'})


# -- statuses ------------------------------------------------------------------------------------

_Key = tuple[str | None, str, bool]
_FRESH_SECONDS = 0.5
"""How long queue position and ETA, which change without the record, are kept."""


@dataclass(frozen=True, slots=True)
class Status:
    """
    A job's status as sent to the client.

    Attributes:
        retry_after: seconds to wait before the next request; None when nothing will change.
        until: on the monotonic clock; expired statuses are rendered again.
        has_transcript: whether the body includes the transcript.
    """

    body: bytes
    etag: str
    retry_after: int | None
    until: float
    has_transcript: bool = False


class StatusCache:
    """
    The statuses last rendered, for use from the event loop.

    Each request first asks the change feed what has changed, so no answer is older than its
    question, even where another process changed the job.
    """

    def __init__(self, feed: ChangeFeed, quick: bool = False, most_bytes: int = 32 << 20) -> None:
        """
        Args:
            quick: the job store is on this machine and answers within microseconds.
            most_bytes: of all bodies together; the oldest are dropped.
        """
        self._most_bytes = most_bytes
        self._feed = feed
        self._quick = quick
        self._marks: dict[str | None, int] = {}
        self._kept: dict[_Key, Status] = {}
        self._bytes = 0

    async def get(
        self,
        queries: JobQueries,
        job_id: str,
        with_transcript: bool,
        compute: Callable[..., Awaitable[Status]] = run_in_threadpool,
        mark: int | None = None,
    ) -> Status:
        """
        Return a job's status as it is now.

        Args:
            compute: calls a function that renders a transcript in another thread.
            mark: the store's change mark, if it was read since the question was asked.

        Raises:
            JobNotFound: this tenant has no such job.
            StorageError: the store does not answer, or the transcript cannot be read.
        """
        key = queries.tenant, job_id, with_transcript
        if mark is None or mark != self._marks.get(queries.tenant):
            mark = await self._catch_up(queries.tenant)
        status = self._kept.get(key)
        if status is None or status.until < time.monotonic():
            status = await self._render(queries, job_id, with_transcript, compute)
            if self._marks[queries.tenant] == mark:  # else it may have changed during rendering
                self._keep(key, status)
        return status

    async def _render(
        self,
        queries: JobQueries,
        job_id: str,
        with_transcript: bool,
        compute: Callable[..., Awaitable[Status]],
    ) -> Status:
        def short(job: Job) -> Status | None:
            complete = with_transcript and job.state == "completed"
            return None if complete else _status(queries, job)

        status = await run_in_threadpool(queries.consistent, job_id, short)
        if status is None:
            status = await compute(queries.consistent, job_id, partial(_completed_status, queries))
        return status

    async def _catch_up(self, tenant: str | None) -> int:
        """Drop what has changed; returns the mark up to which changes are known."""
        since = self._marks.get(tenant)
        if self._quick:
            changes = self._feed.changes_now(tenant or "", since)
        else:
            changes = await self._feed.changes(tenant or "", since)
        # With and without the transcript.
        stale = [(tenant, job_id, flag) for job_id in changes.jobs for flag in (False, True)]
        if changes.missed:
            stale = [key for key in self._kept if key[0] == tenant]
        for key in stale:
            self._drop(key)
        self._marks[tenant] = changes.mark
        return changes.mark

    def _keep(self, key: _Key, status: Status) -> None:
        self._drop(key)
        self._kept[key] = status
        self._bytes += len(status.body)
        # A dict keeps the order of insertion, so the first is the one rendered longest ago.
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        if dropped := self._kept.pop(key, None):
            self._bytes -= len(dropped.body)


def _status(queries: JobQueries, job: Job) -> Status:
    """The status without a transcript."""
    wait = queries.wait(job)
    body = serializers.status(job, wait)
    data, tag = serializers.dumped(body), _tag(job)
    if job.ended:  # changes with its version only
        return Status(data, f'"{tag}"', None, math.inf)
    pending = job.state == "pending"
    return Status(
        data,
        f'W/"{tag}.{body["queue_position"]}.{body["eta_seconds"]}"',
        serializers.RETRY_PENDING_SECONDS if pending else serializers.RETRY_RUNNING_SECONDS,
        time.monotonic() + _FRESH_SECONDS,
    )


def _completed_status(queries: JobQueries, job: Job) -> Status:
    """The status with the transcript; without, if the job began to run again."""
    if job.state != "completed":
        return _status(queries, job)
    transcript = queries.transcript_of(job)
    written = export(transcript, "json", job.options.word_timestamps).strip()
    data = serializers.dumped(serializers.status(job, queries.wait(job)))
    # Joined as bytes: a transcript of hours is encoded once, by its exporter.
    data = data[:-1] + b',"transcript":' + written + b"}"
    return Status(data, f'"{_tag(job)}"', None, math.inf, has_transcript=True)


def _tag(job: Job) -> str:
    return f"{serializers.edition(job)}.{job.version}"
