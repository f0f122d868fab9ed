"""
Taking in a form with a recording: its bytes go straight to the service, never through a file.

    async with await receive(request, service) as received:
        job = await received.finish(Request(options_of(received.fields)))

Whatever is raised before `finish` leaves nothing of the recording behind.
"""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest

from meet_transcriber.api.multipart import FIELDS_BYTES, FileBegins, FormReader
from meet_transcriber.core.errors import InvalidOptions, UploadTooLarge
from meet_transcriber.core.jobs import Job
from meet_transcriber.service import Request, Service, Upload

UNREAD = "meet_transcriber.unread"
"""Key of an ASGI scope that says whether the body was read to its end."""

_BATCH_BYTES = 512 << 10
_FRAMING_BYTES = 64 << 10
_MEBIBYTE = 1 << 20


class Received:
    """A form that arrived whole; as a context it leaves nothing behind when it breaks."""

    def __init__(self, fields: list[tuple[str, str]], upload: Upload | None) -> None:
        self.fields = fields
        self._upload = upload

    @property
    def has_upload(self) -> bool:
        """Whether there was a file."""
        return self._upload is not None

    @property
    def upload(self) -> Upload:
        """The recording, its bytes written; raises InvalidOptions where there was no file."""
        if self._upload is None:
            raise InvalidOptions("There is no recording in the request; send it as a file.")
        return self._upload

    async def finish(self, request: Request, name: str | None = None) -> Job:
        """Begin the job, in a thread; raises as `Upload.finish` does."""
        return await run_in_threadpool(self.upload.finish, request, name)

    async def abandon(self) -> None:
        """Keep nothing, even when the request is being cancelled; harmless after `finish`."""
        if self._upload is not None:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._upload.abandon)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            await self.abandon()


async def receive(
    request: HttpRequest,
    service: Service,
    *,
    file_field: str = "file",
    idempotency_key: str | None = None,
    fields_bytes: int = FIELDS_BYTES,
) -> Received:
    """
    Read a multipart form: the part `file_field` becomes an Upload, the rest fields in order.

    Memory does not depend on the recording's size, and at most a MiB more than the limits
    allow is read.

    Args:
        fields_bytes: what all fields may have together.

    Raises:
        UploadTooLarge: by its announced length, or while it comes.
        MalformedRequest, InvalidOptions: the body is no form, or not a form of this kind.
        IdempotencyInProgress, StorageError: as `Intake.begin` and `Upload.write` do.
        ClientDisconnect: the sender went away.
    """
    reader = FormReader(request.headers.get("content-type", ""), file_field, fields_bytes)
    limit = service.ground.rules.max_upload_bytes + fields_bytes + _FRAMING_BYTES
    flow = _Flow(service, idempotency_key)
    try:
        async for chunk in body(request, limit):
            for event in reader.feed(chunk):
                await flow.take(event)
        reader.finish()
        await flow.flush()
    except BaseException:
        await Received([], flow.upload).abandon()
        raise
    return Received(reader.fields, flow.upload)


async def body(request: HttpRequest, limit: int) -> AsyncIterator[bytes]:
    """
    Yield a request's body, at most about `limit` bytes of it.

    Raises:
        UploadTooLarge: it is longer, by its announced length or in fact.
        ClientDisconnect: the sender went away.
    """
    request.scope[UNREAD] = True
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk
    request.scope[UNREAD] = False


async def small_body(request: HttpRequest, limit: int = FIELDS_BYTES) -> bytes:
    """A body without a recording in it, whole; raises as `body` does."""
    return b"".join([chunk async for chunk in body(request, limit)])


def refuse_unless_form(request: HttpRequest) -> None:
    """Raise HTTPException 415 where the body is no multipart form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise HTTPException(415, "Send the recording as multipart/form-data.")


class _Flow:
    """The file's bytes on their way to the service, in batches, each written in a thread."""

    def __init__(self, service: Service, idempotency_key: str | None) -> None:
        self.upload: Upload | None = None
        self._service = service
        self._key = idempotency_key
        self._batch = bytearray()

    async def take(self, event: FileBegins | bytes) -> None:
        if isinstance(event, FileBegins):
            begin = self._service.intake.begin
            with anyio.CancelScope(shield=True):  # or nobody would hold what it opens
                self.upload = await run_in_threadpool(begin, event.name, self._key)
            return
        self._batch += event
        if len(self._batch) >= _BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        if self._batch and self.upload is not None:
            batch, self._batch = bytes(self._batch), bytearray()
            with anyio.CancelScope(shield=True):  # or it would go on behind abandon's back
                await run_in_threadpool(self.upload.write, batch)


def _too_large(limit: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"The request has more than {limit / _MEBIBYTE:.4g} MiB, which is more than is taken "
        "here; for recordings MAX_UPLOAD_SIZE_MB sets the limit."
    )
