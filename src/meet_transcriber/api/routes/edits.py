"""Routes that change a job or what its transcript says."""

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import ToSubmit, author_of
from meet_transcriber.api.http import IfMatch, JobId, Place, edition_in, json_object
from meet_transcriber.api.openapi import problems, request_body, response
from meet_transcriber.core.edits import LONGEST_FIND, Edit, refuse_long_names, split_new_text
from meet_transcriber.core.errors import EditConflict, InvalidOptions, JobConflict
from meet_transcriber.core.jobs import Job
from meet_transcriber.service import Service
from meet_transcriber.service.commands import EditResult

MOST_CHANGES = 500

router = APIRouter(tags=["transcriptions"])

_SHOWN = response(200, "The job as it is now.", "JobEntry", ("ETag",))
_EDITING = {
    **response(200, "The job as it is now, and what changed.", "EditedEntry", ("ETag",)),
    **problems(400, 404, 409, 412, 413, 422, 507),
}


@router.post(
    "/transcribe/{job_id}/cancel",
    operation_id="cancelTranscription",
    summary="End a job",
    response_class=Response,
    responses={**_SHOWN, **problems(404, 409)},
)
def cancel(service: ToSubmit, job_id: JobId) -> Response:
    """End a job that has not ended; its workers notice within a second or two."""
    job = service.commands.cancel(job_id)
    return _json(job, serializers.entry(job))


@router.delete(
    "/transcribe/{job_id}",
    operation_id="deleteTranscription",
    summary="Forget a job, its audio and its words",
    response_class=Response,
    status_code=204,
    responses={**response(204, "It is gone."), **problems(404)},
)
def delete(service: ToSubmit, job_id: JobId) -> Response:
    """Delete a job in whatever state; nothing of it stays."""
    service.commands.delete(job_id)
    return Response(status_code=204)


@router.patch(
    "/transcribe/{job_id}/speakers",
    operation_id="nameSpeakers",
    summary="Say who the speakers are",
    response_class=Response,
    responses=_EDITING,
    openapi_extra=request_body("Names"),
)
async def name_speakers(
    request: Request, service: ToSubmit, job_id: JobId, if_match: IfMatch = None
) -> Response:
    """Give speakers their names, in every format from now on; null takes a name away."""
    names = await json_object(request)
    if not names or not all(isinstance(name, str | None) for name in names.values()):
        raise InvalidOptions('Send names by speaker label, such as {"SPEAKER_00": "Ann"}.')
    given: dict[str, Any] = names

    refuse_long_names(given)  # before anybody asks who else changed what

    def change() -> EditResult:
        _check_edition(service.queries.job(job_id), if_match)
        return service.commands.name_speakers(job_id, given, author_of(request))

    return _edited_entry(request, await run_in_threadpool(change))


@router.patch(
    "/transcribe/{job_id}/segments/{number}",
    operation_id="editSegment",
    summary="Change a segment",
    response_class=Response,
    responses=_EDITING,
    openapi_extra=request_body("SegmentChange"),
)
async def edit_segment(
    request: Request, service: ToSubmit, job_id: JobId, number: Place, if_match: IfMatch = None
) -> Response:
    """Put other words into a segment, give it to somebody else, split it, or merge the next."""
    edit = _edit(number, await json_object(request))
    author = author_of(request)
    result = await run_in_threadpool(_edited, service, job_id, [edit], if_match, author)
    return _edited_entry(request, result)


@router.patch(
    "/transcribe/{job_id}/segments",
    operation_id="editSegments",
    summary="Change many segments at once",
    response_class=Response,
    responses=_EDITING,
    openapi_extra=request_body("SegmentChanges"),
)
async def edit_segments(
    request: Request, service: ToSubmit, job_id: JobId, if_match: IfMatch = None
) -> Response:
    """
    Several changes in order, a name put right everywhere, or all that one speaker said given to
    another: one step, all of it or nothing, which one undo takes back.
    """
    edits = _edits(await json_object(request))
    author = author_of(request)
    result = await run_in_threadpool(_edited, service, job_id, edits, if_match, author)
    return _edited_entry(request, result)


@router.post(
    "/transcribe/{job_id}/undo",
    operation_id="undoEdit",
    summary="Take back the latest edit",
    response_class=Response,
    responses=_EDITING,
)
@router.post(
    "/transcribe/{job_id}/redo",
    operation_id="redoEdit",
    summary="Bring back what was undone",
    response_class=Response,
    responses=_EDITING,
)
def undo_or_redo(
    request: Request, service: ToSubmit, job_id: JobId, if_match: IfMatch = None
) -> Response:
    """
    Undo takes back the latest edit that still stands, with all that was changed in the same
    request; redo brings back what was undone last, unless something else was changed since.
    """
    edit = Edit("redo" if request.url.path.endswith("/redo") else "undo")
    return _edited_entry(request, _edited(service, job_id, [edit], if_match, author_of(request)))


def _edited(
    service: Service, job_id: str, edits: list[Edit], if_match: str | None, author: str | None
) -> EditResult:
    """Edit exactly the edition that was meant; a change of the record alone does not matter."""
    while if_match is not None:
        job = service.queries.job(job_id)
        _check_edition(job, if_match)
        try:
            return service.commands.edit_all(job_id, edits, job.version, author)
        except JobConflict:
            if service.queries.job(job_id).version == job.version:
                raise
    return service.commands.edit_all(job_id, edits, author=author)


def _check_edition(job: Job, if_match: str | None) -> None:
    wanted = edition_in(if_match)
    if wanted is not None and wanted != serializers.edition(job):
        raise EditConflict(
            "Somebody else changed this transcript meanwhile, or If-Match holds no ETag of it; "
            "load it and edit again."
        )


def _edit(number: int, body: dict[str, object]) -> Edit:
    match body:
        case {"text": str(text), **others} if not others:
            split_new_text(text)
            return Edit("text", number, text=text)
        case {"speaker": (str() | None) as speaker, **others} if not others:
            return Edit("speaker", number, speaker=speaker)
        case {"split_at": (int() | float()) as at, **others} if not others and _counts(at):
            return Edit("split", number, at=int(at))
        case {"merge": True, **others} if not others:
            return Edit("merge", number)
    raise InvalidOptions(
        'Send one change: {"text": "..."}, {"speaker": "SPEAKER_00"} or null, {"split_at": 3} '
        'or {"merge": true}.'
    )


def _edits(body: dict[str, object]) -> list[Edit]:
    match body:
        case {"changes": [_, *_] as changes, **others} if not others:
            if len(changes) > MOST_CHANGES:
                raise InvalidOptions(f"Send at most {MOST_CHANGES} changes at once.")
            return [_placed(change) for change in changes]
        case {"replace": {"find": str(find), "with": str(text), **more}, **others} if not others:
            if not more and find.strip() and text.strip() and len(find) <= LONGEST_FIND:
                split_new_text(text)
                return [Edit("replace", find=find.strip(), text=text.strip())]
        case {"reassign": {"from": source, "to": to, **more}, **others} if not others:
            if not more and isinstance(source, str | None) and isinstance(to, str | None):
                return [Edit("reassign", source=source, speaker=to)]
    raise InvalidOptions(
        'Send {"changes": [{"segment": 3, "text": "..."}, ...]}, {"replace": {"find": "Jon", '
        '"with": "John"}} or {"reassign": {"from": "SPEAKER_02", "to": "SPEAKER_00"}}.'
    )


def _placed(change: object) -> Edit:
    match change:
        case {"segment": int() | float() as number, **body}:
            if number is not False and (number == 0 or _counts(number)):
                return _edit(int(number), {str(name): value for name, value in body.items()})
    raise InvalidOptions('Each change says its place, such as {"segment": 3, "merge": true}.')


def _counts(number: float) -> bool:
    return not isinstance(number, bool) and number >= 1 and number % 1 == 0


def _edited_entry(request: Request, result: EditResult) -> Response:
    may_read = "read" in request.state.caller.scopes
    return _json(result.job, serializers.edited_entry(result, may_read))


def _json(job: Job, body: dict[str, Any]) -> Response:
    headers = {"ETag": f'"{serializers.edition(job)}.{job.version}"'}
    return Response(serializers.dumped(body), 200, headers, "application/json")
