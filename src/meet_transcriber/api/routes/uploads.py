"""Resumable uploads: recordings that are sent in several requests."""

from typing import Annotated, Any

import anyio
from fastapi import Header, Path
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import SubmitService
from meet_transcriber.api.bodies import body, content_type, json_body
from meet_transcriber.api.openapi import problems, request_body, response, tagged_router
from meet_transcriber.api.schemas import UploadRequest
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.core.errors import UploadTooLarge
from meet_transcriber.core.jobs import Job
from meet_transcriber.service.uploads import Receiving

router = tagged_router("uploads")

PARTIAL = "application/partial-upload"
_BATCH_BYTES = 512 << 10
_HEADERS = ("Upload-Offset", "Upload-Length", "Upload-Complete")

UploadId = Annotated[
    str, Path(description="The upload's id.", examples=["0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"])
]


@router.post(
    "/uploads",
    summary="Begin an upload",
    status_code=201,
    responses=response(201, "The upload to send the bytes to.", "UploadEntry", ("Location",))
    | problems(400, 413, 422),
    openapi_extra=request_body(UploadRequest),
)
async def create_upload(
    request: Request,
    service: SubmitService,
    body: Annotated[UploadRequest, json_body(UploadRequest)],
) -> Response:
    """
    Announce a recording whose bytes are sent in separate requests, which can be resumed after a
    lost connection; `POST /transcribe` takes its id as `upload`.
    """
    job = await run_in_threadpool(service.submissions.create_upload, body.name, body.size_bytes)
    request.state.job = job
    return JsonResponse(_entry(job), 201, {"Location": f"/uploads/{job.id}"})


@router.get(
    "/uploads/{upload_id}",
    summary="Get an upload",
    responses=response(200, "The upload.", "UploadEntry", _HEADERS) | problems(404),
)
@router.head(
    "/uploads/{upload_id}",
    operation_id="headUpload",
    summary="Get the offset of an upload",
    responses=response(200, "Only the headers.", None, _HEADERS) | problems(404),
)
def get_upload(request: Request, service: SubmitService, upload_id: UploadId) -> Response:
    """`Upload-Offset` is the number of bytes that have arrived."""
    job = service.uploads.find(upload_id)
    if request.method == "HEAD":
        return Response(b"", 200, _headers(job), "application/json")
    return JsonResponse(_entry(job), 200, _headers(job))


@router.patch(
    "/uploads/{upload_id}",
    summary="Append to an upload",
    status_code=204,
    responses=response(204, "The bytes were stored.", None, _HEADERS)
    | problems(404, 408, 409, 413, 415, 422, 507),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {PARTIAL: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def append_upload(
    request: Request,
    service: SubmitService,
    upload_id: UploadId,
    upload_offset: Annotated[
        int, Header(ge=0, description="Offset of these bytes: the last value of `Upload-Offset`.")
    ],
) -> Response:
    """
    Send the bytes from `Upload-Offset` on, all or some; those received before a connection breaks
    count. A wrong offset is 409 and returns the right one.
    """
    if content_type(request) != PARTIAL:
        raise HTTPException(415, f"Send the bytes as {PARTIAL}.")
    with request.app.state.uploads.acquire(request):
        with anyio.CancelScope(shield=True):
            receiving = await run_in_threadpool(service.uploads.receive, upload_id, upload_offset)
        await _receive(request, receiving)
    job = await run_in_threadpool(service.uploads.find, upload_id)
    return Response(status_code=204, headers=_headers(job))


@router.delete(
    "/uploads/{upload_id}",
    summary="Delete an upload",
    status_code=204,
    responses=response(204, "It was deleted.") | problems(404, 409),
)
def delete_upload(service: SubmitService, upload_id: UploadId) -> Response:
    """Delete an unfinished upload; one that has become a job is deleted as a job."""
    service.uploads.discard(upload_id)
    return Response(status_code=204)


async def _receive(request: Request, receiving: Receiving) -> None:
    """Store a body; the bytes that were received count, even if it ends early."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > receiving.missing_bytes:
        raise UploadTooLarge(
            f"The upload lacks {receiving.missing_bytes} bytes, and the request has more."
        )
    batch = bytearray()
    try:
        async for chunk in body(request, receiving.missing_bytes + 1):
            batch += chunk
            if len(batch) >= _BATCH_BYTES:
                await _write(receiving, batch)
    finally:
        with anyio.CancelScope(shield=True):  # keeps what was received on a cancellation
            try:
                await _write(receiving, batch)
            finally:
                await run_in_threadpool(receiving.close)


async def _write(receiving: Receiving, batch: bytearray) -> None:
    data = bytes(batch)
    batch.clear()
    with anyio.CancelScope(shield=True):
        await run_in_threadpool(receiving.write, data)


def _received(job: Job) -> int:
    if job.state != "uploading" or job.upload is None:
        return job.size_bytes
    return job.upload.received_bytes


def _headers(job: Job) -> dict[str, str]:
    """The headers of draft-ietf-httpbis-resumable-upload."""
    received = _received(job)
    return {
        "Upload-Offset": str(received),
        "Upload-Length": str(job.size_bytes),
        "Upload-Complete": f"?{int(received == job.size_bytes)}",
    }


def _entry(job: Job) -> dict[str, Any]:
    begun, links = job.state != "uploading", {"self": f"/uploads/{job.id}"}
    if begun:
        links["job"] = serializers.path_of(job.id)
    return {
        "upload_id": job.id,
        "object": "upload",
        "method": "resumable",
        "name": job.name,
        "size_bytes": job.size_bytes,
        "received_bytes": _received(job),
        "expires_at": None if begun else serializers.moment(job.lease_until),
        "links": links,
    }
