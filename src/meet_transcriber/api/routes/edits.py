"""Routes that cancel or delete a job and edit its transcript."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import SubmitService, get_author
from meet_transcriber.api.http import IfMatch, JobId, Place, edition_in, json_body
from meet_transcriber.api.openapi import problems, request_body, response
from meet_transcriber.api.schemas import Names, SegmentChange, SegmentChanges
from meet_transcriber.core.edits import Edit, split_new_text
from meet_transcriber.core.errors import EditConflict, JobConflict
from meet_transcriber.core.jobs import Job
from meet_transcriber.service import Service
from meet_transcriber.service.commands import EditResult

router = APIRouter(tags=["transcriptions"])

_SHOWN = response(200, "The job.", "JobEntry", ("ETag",))
_EDITING = {
    **response(200, "The job, and what changed in its transcript.", "EditedEntry", ("ETag",)),
    **problems(400, 404, 409, 412, 413, 422, 507),
}


@router.post(
    "/transcribe/{job_id}/cancel",
    operation_id="cancelTranscription",
    summary="Cancel a job",
    response_class=Response,
    responses={**_SHOWN, **problems(404, 409)},
)
def cancel(service: SubmitService, job_id: JobId) -> Response:
    """Cancel an unfinished job; its workers stop within a few seconds."""
    job = service.commands.cancel(job_id)
    return _json(job, serializers.entry(job))


@router.delete(
    "/transcribe/{job_id}",
    operation_id="deleteTranscription",
    summary="Delete a job, its audio and its transcript",
    response_class=Response,
    status_code=204,
    responses={**response(204, "The job was deleted."), **problems(404)},
)
def delete(service: SubmitService, job_id: JobId) -> Response:
    """Delete a job in any state with everything that belongs to it."""
    service.commands.delete(job_id)
    return Response(status_code=204)


@router.patch(
    "/transcribe/{job_id}/speakers",
    operation_id="nameSpeakers",
    summary="Name speakers",
    response_class=Response,
    responses=_EDITING,
    openapi_extra=request_body(Names),
)
async def name_speakers(
    request: Request,
    service: SubmitService,
    job_id: JobId,
    body: Annotated[Names, json_body(Names)],
    if_match: IfMatch = None,
) -> Response:
    """Name speakers in every export format; null removes a name."""

    def change() -> EditResult:
        _check_edition(service.queries.job(job_id), if_match)
        return service.commands.name_speakers(job_id, body.root, get_author(request))

    return _edited_entry(request, await run_in_threadpool(change))


@router.patch(
    "/transcribe/{job_id}/segments/{number}",
    operation_id="editSegment",
    summary="Edit a segment",
    response_class=Response,
    responses=_EDITING,
    openapi_extra=request_body(SegmentChange),
)
async def edit_segment(
    request: Request,
    service: SubmitService,
    job_id: JobId,
    number: Place,
    body: Annotated[SegmentChange, json_body(SegmentChange)],
    if_match: IfMatch = None,
) -> Response:
    """Change the text or speaker of a segment, split it, or merge the next one into it."""
    edit = _edit(number, body)
    author = get_author(request)
    result = await run_in_threadpool(_edited, service, job_id, [edit], if_match, author)
    return _edited_entry(request, result)


@router.patch(
    "/transcribe/{job_id}/segments",
    operation_id="editSegments",
    summary="Edit several segments",
    response_class=Response,
    responses=_EDITING,
    openapi_extra=request_body(SegmentChanges),
)
async def edit_segments(
    request: Request,
    service: SubmitService,
    job_id: JobId,
    body: Annotated[SegmentChanges, json_body(SegmentChanges)],
    if_match: IfMatch = None,
) -> Response:
    """
    Make several changes in order, replace text everywhere, or assign everything that one speaker
    said to another. The request succeeds or fails as a whole and is undone in one step.
    """
    edits = _edits(body)
    author = get_author(request)
    result = await run_in_threadpool(_edited, service, job_id, edits, if_match, author)
    return _edited_entry(request, result)


@router.post(
    "/transcribe/{job_id}/undo",
    operation_id="undoEdit",
    summary="Undo the latest edit",
    response_class=Response,
    responses=_EDITING,
)
@router.post(
    "/transcribe/{job_id}/redo",
    operation_id="redoEdit",
    summary="Redo the edit undone last",
    response_class=Response,
    responses=_EDITING,
)
def undo_or_redo(
    request: Request, service: SubmitService, job_id: JobId, if_match: IfMatch = None
) -> Response:
    """
    Undo reverts the latest edit with everything changed in the same request. Redo restores what
    was undone last, unless something else was changed since.
    """
    edit = Edit("redo" if request.url.path.endswith("/redo") else "undo")
    return _edited_entry(request, _edited(service, job_id, [edit], if_match, get_author(request)))


def _edited(
    service: Service, job_id: str, edits: list[Edit], if_match: str | None, author: str | None
) -> EditResult:
    """Edit the edition in If-Match; retry when only the record has changed."""
    while if_match is not None:
        job = service.queries.job(job_id)
        _check_edition(job, if_match)
        try:
            return service.commands.edit(job_id, *edits, version=job.version, author=author)
        except JobConflict:
            if service.queries.job(job_id).version == job.version:
                raise
    return service.commands.edit(job_id, *edits, author=author)


def _check_edition(job: Job, if_match: str | None) -> None:
    wanted = edition_in(if_match)
    if wanted is not None and wanted != serializers.edition(job):
        raise EditConflict(
            "The transcript has changed, or If-Match is not an ETag of it; load it and edit again."
        )


def _edit(number: int, change: SegmentChange) -> Edit:
    match change.given:
        case "text":
            split_new_text(change.text)
            return Edit("text", number, text=change.text)
        case "speaker":
            return Edit("speaker", number, speaker=change.speaker)
        case "split_at":
            return Edit("split", number, at=change.split_at)
        case _:
            return Edit("merge", number)


def _edits(body: SegmentChanges) -> list[Edit]:
    match body.given:
        case "changes":
            return [_edit(change.segment, change) for change in body.changes]
        case "replace":
            find, text = body.replace.find.strip(), body.replace.with_.strip()
            split_new_text(body.replace.with_)
            return [Edit("replace", find=find, text=text)]
        case _:
            return [Edit("reassign", source=body.reassign.from_, speaker=body.reassign.to)]


def _edited_entry(request: Request, result: EditResult) -> Response:
    may_read = "read" in request.state.caller.scopes
    return _json(result.job, serializers.edited_entry(result, may_read))


def _json(job: Job, body: dict[str, Any]) -> Response:
    headers = {"ETag": f'"{serializers.edition(job)}.{job.version}"'}
    return Response(serializers.dumped(body), 200, headers, "application/json")
