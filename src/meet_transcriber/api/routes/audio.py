"""The recording, whole or in ranges, as players request it."""

import hashlib
import re
from collections.abc import AsyncIterator
from typing import Annotated, BinaryIO

from fastapi import Header
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from meet_transcriber.api.auth import ReaderService
from meet_transcriber.api.http import JobId, attachment
from meet_transcriber.api.openapi import problems, response, response_in, tagged_router
from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.media import MediaInfo

router = tagged_router("transcriptions")

_CHUNK_BYTES = 256 << 10  # a thread switch each
_ENDING_LENGTH = 5
_SOUND = {
    "wav": "audio/wav",
    "w64": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "mov": "audio/mp4",
    "mp4": "audio/mp4",
    "m4a": "audio/mp4",
    "matroska": "audio/webm",
    "webm": "audio/webm",
    "aiff": "audio/aiff",
    "amr": "audio/amr",
    "caf": "audio/x-caf",
}
"""Media type of audio by FFmpeg's name of its container."""

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*")
_BYTES = {"*/*": {"type": "string", "format": "binary"}}
_ANSWERS = {
    **response_in(200, "The recording.", _BYTES, "ETag", "Accept-Ranges"),
    **response_in(206, "A range of it.", _BYTES, "ETag", "Content-Range"),
    **problems(404, 409, 416, 422),
}
IfRange = Annotated[
    str | None, Header(description="An ETag; the range applies only if it matches.")
]


@router.get(
    "/transcribe/{job_id}/audio",
    summary="Get the recording",
    responses=_ANSWERS,
)
@router.head(
    "/transcribe/{job_id}/audio",
    operation_id="headAudio",
    summary="Get the headers of the recording",
    responses=response(200, "The recording exists.", None, ("ETag", "Accept-Ranges")) | _ANSWERS,
)
async def get_audio(
    service: ReaderService,
    job_id: JobId,
    range_: Annotated[str | None, Header(alias="Range", description="One range of bytes.")] = None,
    if_range: IfRange = None,
) -> Response:
    """The recording as it was sent, or its working audio; streamed from the store."""
    job, file, size = await run_in_threadpool(service.queries.audio, job_id)
    key = job.objects.get("recording") or job.objects.get("working.flac", "")
    etag = f'"{hashlib.sha256(key.encode()).hexdigest()[:20]}"'
    wanted = range_ if if_range is None or if_range.strip() == etag else None
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    try:
        span = parse_range(wanted, size)
    except HTTPException:
        await run_in_threadpool(file.close)
        raise
    headers["Content-Type"] = media_type(job)
    headers["Content-Disposition"] = "inline" + attachment(job.name, _ending(job))[10:]
    if span is None:
        return _FileSlice(file, range(size), 200, headers)
    headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    return _FileSlice(file, span, 206, headers)


def parse_range(header: str | None, size: int) -> range | None:
    """
    The bytes that a Range header requests.

    None means the whole recording: without a header, and for an invalid one or several ranges,
    which RFC 9110 allows to ignore.

    Raises:
        HTTPException: 416, the range begins after the end.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None:
        return None
    first, last = found.groups()
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise HTTPException(416, f"The recording has {size} bytes.", headers)
    return range(start, end)


def media_type(job: Job) -> str:
    """The media type of the stored audio."""
    if "recording" not in job.objects:
        return "audio/flac"
    container = (job.media or MediaInfo("", "", None, 0, 0)).container.split(",")[0]
    kind = _SOUND.get(container, "application/octet-stream")
    if job.media is not None and job.media.has_video:
        return kind.replace("audio/", "video/")
    return kind


def _ending(job: Job) -> str:
    if "recording" not in job.objects:
        return "flac"
    ending = job.name.rpartition(".")[2]
    plain = ending.isalnum() and ending.isascii() and len(ending) <= _ENDING_LENGTH
    return ending if plain else "bin"


class _FileSlice(StreamingResponse):
    """Sends bytes of a file, read in a thread; always closes the file."""

    def __init__(self, file: BinaryIO, span: range, status: int, headers: dict[str, str]) -> None:
        super().__init__(self._read(), status, {**headers, "Content-Length": str(len(span))})
        self._file = file
        self._span = span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            self._span = range(0)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()

    async def _read(self) -> AsyncIterator[bytes]:
        await run_in_threadpool(self._file.seek, self._span.start)
        left = len(self._span)
        while left > 0:
            data = await run_in_threadpool(self._file.read, min(left, _CHUNK_BYTES))
            if not data:
                raise StorageError("The recording was truncated while it was sent.")
            left -= len(data)
            yield data
