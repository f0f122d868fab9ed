"""Routes that cancel or delete a job and edit its transcript."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Header, Path
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import SubmitService, get_author
from meet_transcriber.api.bodies import json_body
from meet_transcriber.api.compute import run_compute
from meet_transcriber.api.http import JobId
from meet_transcriber.api.openapi import problems, request_body, response, tagged_router
from meet_transcriber.api.schemas import Names, SegmentChange, SegmentChanges
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.core.edits import Edit, split_new_text
from meet_transcriber.core.errors import EditConflict, JobConflict
from meet_transcriber.core.jobs import Job
from meet_transcriber.service import Service
from meet_transcriber.service.commands import EditResult

router = tagged_router("transcriptions")

IfMatch = Annotated[str | None, Header(description="ETag or `edition` to change; any if left out.")]
Place = Annotated[int, Path(ge=0, description="The segment's place, counted from 0.")]

_EDITED = response(
    200, "The job, and what changed in its transcript.", "EditedEntry", ("ETag",)
) | problems(400, 404, 409, 412, 413, 422, 507)


@router.post(
    "/transcribe/{job_id}/cancel",
    summary="Cancel a job",
    responses=response(200, "The job.", "JobEntry", ("ETag",)) | problems(404, 409),
)
def cancel_transcription(service: SubmitService, job_id: JobId) -> Response:
    """Cancel an unfinished job; its workers stop within a few seconds."""
    job = service.commands.cancel(job_id)
    return _job_response(job, serializers.entry(job))


@router.delete(
    "/transcribe/{job_id}",
    summary="Delete a job, its audio and its transcript",
    status_code=204,
    responses=response(204, "The job was deleted.") | problems(404),
)
def delete_transcription(service: SubmitService, job_id: JobId) -> Response:
    """Delete a job in any state with everything that belongs to it."""
    service.commands.delete(job_id)
    return Response(status_code=204)


@router.patch(
    "/transcribe/{job_id}/speakers",
    summary="Name speakers",
    responses=_EDITED,
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
    return await _edit(request, service, job_id, partial(_names, body), if_match)


@router.patch(
    "/transcribe/{job_id}/segments/{number}",
    summary="Edit a segment",
    responses=_EDITED,
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
    return await _edit(request, service, job_id, lambda: [_segment_edit(number, body)], if_match)


@router.patch(
    "/transcribe/{job_id}/segments",
    summary="Edit several segments",
    responses=_EDITED,
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
    return await _edit(request, service, job_id, partial(_edits, body), if_match)


@router.post(
    "/transcribe/{job_id}/undo",
    operation_id="undoEdit",
    summary="Undo the latest edit",
    responses=_EDITED,
)
@router.post(
    "/transcribe/{job_id}/redo",
    operation_id="redoEdit",
    summary="Redo the edit undone last",
    responses=_EDITED,
)
async def undo_or_redo(
    request: Request, service: SubmitService, job_id: JobId, if_match: IfMatch = None
) -> Response:
    """
    Undo reverts the latest edit with everything changed in the same request. Redo restores what
    was undone last, unless something else was changed since.
    """
    edit = Edit("redo" if request.url.path.endswith("/redo") else "undo")
    return await _edit(request, service, job_id, lambda: [edit], if_match)


MakeEdits = Callable[[], list[Edit]]
"""Checks new text word by word, which is not for the thread of the event loop."""


async def _edit(
    request: Request, service: Service, job_id: str, make: MakeEdits, if_match: str | None
) -> Response:
    """Make the edits as one step, and describe the result."""
    return await run_compute(request, _edited_response, request, service, job_id, make, if_match)


def _edited_response(
    request: Request, service: Service, job_id: str, make: MakeEdits, if_match: str | None
) -> Response:
    result = _edit_edition(service, job_id, make(), if_match, get_author(request))
    may_read = "read" in request.state.caller.scopes
    return _job_response(result.job, serializers.edited_entry(result, may_read))


def _edit_edition(
    service: Service, job_id: str, edits: list[Edit], if_match: str | None, author: str | None
) -> EditResult:
    """Edit the edition in If-Match; retry when only the record has changed."""
    if if_match is None or if_match.strip() == "*":
        return service.commands.edit(job_id, *edits, author=author)
    edition = if_match.strip().removeprefix("W/").strip('"').partition(".")[0]
    while True:
        job = service.queries.job(job_id)
        if edition != serializers.edition(job):
            raise EditConflict(
                "The transcript has changed, or If-Match is not an ETag of it; load it and edit "
                "again."
            )
        try:
            return service.commands.edit(job_id, *edits, version=job.version, author=author)
        except JobConflict:  # perhaps only the record changed: compare again
            if service.queries.job(job_id).version == job.version:
                raise


def _names(body: Names) -> list[Edit]:
    return [Edit("name", speaker=label, text=name or "") for label, name in body.root.items()]


def _segment_edit(number: int, change: SegmentChange) -> Edit:
    match change.given:
        case "text":
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
            return [_segment_edit(change.segment, change) for change in body.changes]
        case "replace":
            find, text = body.replace.find.strip(), body.replace.with_.strip()
            split_new_text(body.replace.with_)
            return [Edit("replace", find=find, text=text)]
        case _:
            return [Edit("reassign", source=body.reassign.from_, speaker=body.reassign.to)]


def _job_response(job: Job, body: dict[str, Any]) -> Response:
    return JsonResponse(body, 200, {"ETag": f'"{serializers.edition(job)}.{job.version}"'})
