"""Streams a multipart form: the bytes of its recording go directly to the service."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import Message

from meet_transcriber.core.errors import InvalidOptions, MalformedRequest, UploadTooLarge
from meet_transcriber.core.speaker_timeline import decode_text
from meet_transcriber.service import Service, StreamedUpload

FIELDS_BYTES = 256 << 10
"""Limit on all fields of a form together, including their names."""

_FILE = "file"
_FIELD_OVERHEAD = 32


@dataclass(frozen=True, slots=True)
class FileBegins:
    """The bytes that follow belong to the file."""

    name: str


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None
    value: bytearray = field(default_factory=bytearray)
    begun: bool = False


class FormReader:
    """
    Parses a body's chunks: yields the file's bytes at once, and keeps the fields.

    Only the part named `file` is a file, whatever its headers say. If it is empty and has no file
    name, as browsers send when no file was chosen, it is ignored. Text files count as fields.
    """

    def __init__(
        self,
        content_type: str,
        fields_bytes: int = FIELDS_BYTES,
        text_files: Mapping[str, int] | None = None,
    ) -> None:
        """
        Args:
            fields_bytes: limit on all fields together.
            text_files: fields that may be sent as files, and an extra limit in bytes for each.

        Raises:
            MalformedRequest: the content type has no boundary.
        """
        self.fields: list[tuple[str, str]] = []
        self._left = fields_bytes
        self._left_of = dict(text_files or {})
        self._events: list[FileBegins | bytes] = []
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._files = 0
        self._ended = False
        self._parser = self._new_parser(content_type)

    def _new_parser(self, content_type: str) -> MultipartParser:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise MalformedRequest("The Content-Type of a form must have a boundary.")
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header[0].extend(
                        data[start:end]
                    ),
                    "on_header_value": lambda data, start, end: self._header[1].extend(
                        data[start:end]
                    ),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedRequest(f"The form cannot be read: {error}.") from error

    def feed(self, chunk: bytes) -> Iterator[FileBegins | bytes]:
        """
        Yield the beginning of the file and its bytes, as far as this chunk contains them.

        Raises:
            MalformedRequest: the body is not a valid form.
            InvalidOptions: there is a second file, or the fields are too large.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(f"The form cannot be read: {error}.") from error
        events, self._events = self._events, []
        yield from events

    def finish(self) -> None:
        """
        Check that the form is complete; called at the end of the body.

        Raises:
            MalformedRequest: the closing boundary is missing.
        """
        if not self._ended:
            raise MalformedRequest("The form is incomplete: its closing boundary is missing.")

    # -- callbacks of the parser -----------------------------------------------------------

    def _begin_part(self) -> None:
        self._part = _Part()

    def _end_header(self) -> None:
        name, value = self._header
        self._part.headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _end_headers(self) -> None:
        disposition = self._part.headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition.decode("latin-1"))
        if b"name" not in options:
            raise MalformedRequest("Each part of a form must have a name.")
        self._part.name = _decoded(options[b"name"])
        if b"filename" in options:
            self._part.filename = _decoded(options[b"filename"])
        if self._part.filename and self._part.name not in {_FILE, *self._left_of}:
            raise InvalidOptions(
                f"There is no file {self._part.name!r}; send the recording as {_FILE!r}."
            )
        if self._part.filename and self._part.name == _FILE:
            self._begin_file()
        self._spend(len(self._part.name) + _FIELD_OVERHEAD)

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == _FILE:
            if not self._part.begun:
                self._begin_file()
            self._events.append(data[start:end])
        else:
            self._spend(end - start, self._part.name)
            self._part.value += data[start:end]

    def _begin_file(self) -> None:
        self._part.begun = True
        self._files += 1
        if self._files > 1:
            raise InvalidOptions("There are two files in the form; send one recording per request.")
        self._events.append(FileBegins(self._part.filename or ""))

    def _end_part(self) -> None:
        if self._part.name != _FILE:
            value = bytes(self._part.value)
            read = decode_text if self._part.name in self._left_of else _decoded
            self.fields.append((self._part.name, read(value)))

    def _end(self) -> None:
        self._ended = True

    def _spend(self, size: int, name: str = "") -> None:
        if name in self._left_of:
            self._left_of[name] -= size
            if self._left_of[name] < 0:
                raise InvalidOptions(f"The field {name!r} of the form is too large.")
            return
        self._left -= size
        if self._left < 0:
            raise InvalidOptions("The fields of the form are too large together.")


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedRequest("Names and fields of a form must be valid UTF-8.") from error


BODY_UNREAD = "meet_transcriber.unread"
"""Key of an ASGI scope: True while the body is not read to its end."""

STALL_SECONDS = 60.0
"""How long a sender may pause in the middle of a body."""

_BATCH_BYTES = 512 << 10
_BEAT_SHARE = 4
_BEAT_SECONDS = 5.0
_FRAMING_BYTES = 64 << 10
_MEBIBYTE = 1 << 20


class ReceivedForm:
    """A complete form; as a context manager it discards the upload on an error."""

    def __init__(self, fields: list[tuple[str, str]], upload: StreamedUpload | None) -> None:
        self.fields = fields
        self._upload = upload

    @property
    def has_upload(self) -> bool:
        """Whether there was a file."""
        return self._upload is not None

    @property
    def upload(self) -> StreamedUpload:
        """The recording, its bytes written; raises InvalidOptions if there was no file."""
        if self._upload is None:
            raise InvalidOptions("There is no recording in the request; send it as a file.")
        return self._upload

    async def abandon(self) -> None:
        """Discard the upload, even during cancellation; has no effect after `finish`."""
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
    idempotency_key: str | None = None,
    fields_bytes: int = FIELDS_BYTES,
    text_files: Mapping[str, int] | None = None,
) -> ReceivedForm:
    """
    Read a multipart form: the part `file` becomes a StreamedUpload, the others fields in order.

    Memory does not depend on the recording's size, and at most a MiB more than the limits
    allow is read.

    Args:
        fields_bytes, text_files: as `FormReader` takes them.

    Raises:
        UploadTooLarge: by its announced length, or while it is received.
        MalformedRequest, InvalidOptions: the body is not a form, or not such a form.
        IdempotencyInProgress, StorageError: as `Submissions.start_upload` and
            `StreamedUpload.write` do.
        ClientDisconnect: the sender disconnected.
        HTTPException: 408, the sender paused for too long.
    """
    kind = request.headers.get("content-type", "")
    reader = FormReader(kind, fields_bytes, text_files)
    fields_bytes += sum((text_files or {}).values())
    limit = service.context.policy.max_upload_bytes + fields_bytes + _FRAMING_BYTES
    flow = UploadStream(service, idempotency_key)
    try:
        async for chunk in body(request, limit, flow.flush, flow.beat_seconds):
            for event in reader.feed(chunk):
                await flow.take(event)
        reader.finish()
        await flow.flush()
    except BaseException:
        await ReceivedForm([], flow.upload).abandon()
        raise
    return ReceivedForm(reader.fields, flow.upload)


async def _no_beat() -> None:
    return


async def body(
    request: HttpRequest,
    limit: int,
    beat: Callable[[], Awaitable[None]] = _no_beat,
    beat_seconds: float = _BEAT_SECONDS,
) -> AsyncIterator[bytes]:
    """
    Yield a request's body, at most about `limit` bytes of it.

    Args:
        beat: called every `beat_seconds` in which nothing is received.

    Raises:
        UploadTooLarge: it is longer, by its announced length or in fact.
        ClientDisconnect: the sender disconnected.
        HTTPException: 408, the sender paused for too long.
    """
    request.scope[BODY_UNREAD] = True
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    size, more = 0, True
    while more:
        message = await _next_message(request, beat, beat_seconds)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk
    request.scope[BODY_UNREAD] = False


async def _next_message(
    request: HttpRequest, beat: Callable[[], Awaitable[None]], beat_seconds: float
) -> Message:
    silent_since = time.monotonic()
    while time.monotonic() - silent_since < STALL_SECONDS:
        with anyio.move_on_after(beat_seconds):
            return await request.receive()
        await beat()
    raise _stalled()


async def small_body(request: HttpRequest, limit: int = FIELDS_BYTES) -> bytes:
    """Read a body without a recording within STALL_SECONDS; raises as `body` does."""
    try:
        with anyio.fail_after(STALL_SECONDS):
            return b"".join([chunk async for chunk in body(request, limit)])
    except TimeoutError as error:
        raise _stalled() from error


def content_type(request: HttpRequest) -> str:
    """The media type of a request's body, without parameters; "" if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_unless_form(request: HttpRequest) -> None:
    """Raise HTTPException 415 if the body is not a multipart form."""
    if content_type(request) != "multipart/form-data":
        raise HTTPException(415, "Send the recording as multipart/form-data.")


class UploadStream:
    """Passes a file's bytes to the service in batches, each written in a thread."""

    def __init__(self, service: Service, idempotency_key: str | None) -> None:
        self.upload: StreamedUpload | None = None
        lease = service.context.policy.lease_seconds
        self.beat_seconds = min(_BEAT_SECONDS, lease / _BEAT_SHARE)
        self._service = service
        self._key = idempotency_key
        self._batch = bytearray()
        self._flushed = time.monotonic()

    async def take(self, event: FileBegins | bytes) -> None:
        """Begin the upload, or append to it."""
        if isinstance(event, FileBegins):
            begin = self._service.submissions.start_upload
            with anyio.CancelScope(shield=True):  # else a cancelled request would leak it
                self.upload = await run_in_threadpool(begin, event.name, self._key)
            return
        self._batch += event
        slow = time.monotonic() - self._flushed > self.beat_seconds
        if slow or len(self._batch) >= _BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Write the batch, at least every few seconds: that renews the upload's lease."""
        if self.upload is not None:
            batch, self._batch = bytes(self._batch), bytearray()
            self._flushed = time.monotonic()
            with anyio.CancelScope(shield=True):  # else it would run on during `abandon`
                await run_in_threadpool(self.upload.write, batch)


def _stalled() -> HTTPException:
    return HTTPException(
        408, f"Too little was received in {STALL_SECONDS:.0f} seconds; send it again."
    )


def _too_large(limit: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"The request exceeds {limit / _MEBIBYTE:.4g} MiB; for recordings "
        "MAX_UPLOAD_SIZE_MB sets the limit."
    )
