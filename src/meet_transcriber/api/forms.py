"""Streams a multipart form: the bytes of its recording go directly to the service."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from meet_transcriber.api.http import BEAT_SECONDS, SMALL_BODY_BYTES, body
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest
from meet_transcriber.core.speaker_timeline import decode_text
from meet_transcriber.service import Service, StreamedUpload

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FILE = "file"
_FIELD_OVERHEAD = 32  # per field, so that a million empty ones are not free
_BATCH_BYTES = 512 << 10  # a thread switch each: few of them, and little memory
_BEAT_SHARE = 4  # of a lease, so that one late beat does not lose it
_FRAMING_BYTES = 64 << 10  # boundaries and headers of the parts


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
        fields_bytes: int = SMALL_BODY_BYTES,
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
        self._header_name, self._header_value = bytearray(), bytearray()
        self._has_file = False
        self._ended = False
        self._parser = self._new_parser(content_type)

    def _new_parser(self, content_type: str) -> MultipartParser:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise MalformedRequest("The Content-Type of a form must have a boundary.")
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        try:
            return MultipartParser(boundary, callbacks)
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
        self._part.headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

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
        if self._has_file:
            raise InvalidOptions("There are two files in the form; send one recording per request.")
        self._part.begun = self._has_file = True
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


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    """
    A complete form.

    Attributes:
        fields: names and values in order.
        file: the recording, its bytes written; None if there was no file.
    """

    fields: list[tuple[str, str]]
    file: StreamedUpload | None

    @property
    def upload(self) -> StreamedUpload:
        """The recording; raises InvalidOptions if there was no file."""
        if self.file is None:
            raise InvalidOptions("There is no recording in the request; send it as a file.")
        return self.file


@asynccontextmanager
async def receive(
    request: Request,
    service: Service,
    *,
    idempotency_key: str | None = None,
    fields_bytes: int = SMALL_BODY_BYTES,
    text_files: Mapping[str, int] | None = None,
) -> AsyncIterator[ReceivedForm]:
    """
    Read a multipart form: the part `file` becomes a StreamedUpload, the others fields in order.

    An error while it is read or within the context discards the upload. Memory does not depend on
    the recording's size, and at most a MiB more than the limits allow is read.

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
    reader = FormReader(request.headers.get("content-type", ""), fields_bytes, text_files)
    limit = service.context.policy.max_upload_bytes + fields_bytes + _FRAMING_BYTES
    limit += sum((text_files or {}).values())
    stream = UploadStream(service, idempotency_key)
    try:
        async for chunk in body(request, limit, stream.flush, stream.beat_seconds):
            for event in reader.feed(chunk):
                await stream.take(event)
        reader.finish()
        await stream.flush()
        yield ReceivedForm(reader.fields, stream.upload)
    except BaseException:
        if stream.upload is not None:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(stream.upload.abandon)
        raise


class UploadStream:
    """Passes a file's bytes to the service in batches, each written in a thread."""

    def __init__(self, service: Service, idempotency_key: str | None) -> None:
        self.upload: StreamedUpload | None = None
        lease = service.context.policy.lease_seconds
        self.beat_seconds = min(BEAT_SECONDS, lease / _BEAT_SHARE)
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
