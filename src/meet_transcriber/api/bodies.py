"""Reads bodies: raw ones, JSON objects, and forms, whose recording goes directly to the service."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import anyio
from fastapi import Depends
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from meet_transcriber.api.compute import run_compute
from meet_transcriber.api.errors import BODY_UNREAD, OptionProblems, problems_in
from meet_transcriber.core.errors import (
    InvalidOptions,
    JobNotFound,
    MalformedRequest,
    RateLimited,
    StorageError,
    UploadTooLarge,
)
from meet_transcriber.core.pace import Pace
from meet_transcriber.core.speaker_timeline import decode_text
from meet_transcriber.service import Service, StreamedUpload

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

M = TypeVar("M", bound=BaseModel)

SMALL_BODY_BYTES = 256 << 10
"""Limit on a body without a recording, and on all fields of a form together."""

MOST_VALUES = 2000
"""Most values of a JSON body, or fields of a submission: each may be a problem to report."""

_MOST_PARSED = 100_000
"""Most values in a JSON body: four for each of the 20,000 entries of a timeline, and some more."""
_MOST_COMMAS = 3 * _MOST_PARSED
# Possessive, and of a string without an end the rest, so that the search takes linear time.
_VALUE_BEGINS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|([\[{,])', re.DOTALL)

_QUICK_BYTES = 16 << 10
"""Most bytes of JSON that are parsed in the thread of the event loop."""

STALL_SECONDS = 60.0
"""How long a sender may pause in the middle of a body."""

LEAST_BYTES_PER_SECOND = 1 << 10
"""How fast a sender has to be, over STALL_SECONDS of waiting for it."""

LONGEST_SECONDS = 4 * 3600.0
"""How long one body may take; an upload that can be resumed takes several."""

TENANT_UPLOADS, UPLOADS = 64, 512
"""How many recordings a process receives at once, of one tenant and in all."""

BEAT_SECONDS = 5.0
_RETRY_SECONDS = 10.0
_MEBIBYTE = 1 << 20


class UploadLimiter:
    """
    Limits the recordings that this process receives at once.

    They take no place in the queue until they have arrived, so that slow senders cannot fill it.
    """

    def __init__(self, share: int = TENANT_UPLOADS, most: int = UPLOADS) -> None:
        self._share, self._most = share, most
        self._open = Counter[str]()

    @contextmanager
    def acquire(self, request: Request) -> Iterator[None]:
        """
        Receive one recording of the request's tenant within the context.

        Raises:
            RateLimited: this tenant, or all together, send as many as they may.
        """
        tenant = request.state.caller.tenant
        if self._open[tenant] >= self._share:
            raise RateLimited(
                f"You are sending {self._share} recordings, the most that are received at a time; "
                "wait for one of them.",
                _RETRY_SECONDS,
            )
        if self._open.total() >= self._most:
            raise RateLimited("Too many recordings arrive; send it again later.", _RETRY_SECONDS)
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]


TENANT_TEXT_BYTES, TEXT_BYTES = 64 << 20, 192 << 20
"""Text of large bodies that a process holds, of one tenant and in all; some is held three times."""

Grow = Callable[[int], None]


class TextLimiter:
    """
    Limits the memory of large bodies of text: JSON with a timeline, and fields of forms.

    Unlike a recording, text is held until its request is answered. Of each body
    SMALL_BODY_BYTES are free.
    """

    def __init__(self, share: int = TENANT_TEXT_BYTES, most: int = TEXT_BYTES) -> None:
        self._share, self._most = share, most
        self._held = Counter[str]()

    @contextmanager
    def hold(self, request: Request) -> Iterator[Grow]:
        """
        Hold text of the request's tenant within the context; yields what counts bytes of it.

        That raises RateLimited when this tenant, or all together, hold as much as they may.
        """
        tenant, size, counted = request.state.caller.tenant, 0, 0

        def grow(more: int) -> None:
            nonlocal size, counted
            size += more
            new = max(0, size - SMALL_BODY_BYTES) - counted
            if self._held[tenant] + new > self._share or self._held.total() + new > self._most:
                raise RateLimited("Too much text arrives at a time; try again.", _RETRY_SECONDS)
            counted += new
            self._held[tenant] += new

        try:
            yield grow
        finally:
            self._held[tenant] -= counted
            if not self._held[tenant]:
                del self._held[tenant]


async def body(
    request: Request,
    limit: int,
    beat: Callable[[], Awaitable[None]] | None = None,
    beat_seconds: float = BEAT_SECONDS,
    *,
    pace: Pace | None = None,
    longest_seconds: float = LONGEST_SECONDS,
) -> AsyncIterator[bytes]:
    """
    Yield a request's body, at most about `limit` bytes of it.

    Args:
        beat: called every `beat_seconds` in which nothing is received.
        pace: the least speed; None takes LEAST_BYTES_PER_SECOND.

    Raises:
        UploadTooLarge: it is longer, by its announced length or in fact.
        ClientDisconnect: the sender disconnected.
        HTTPException: 408, the sender paused for too long, or is too slow.
    """
    request.scope[BODY_UNREAD] = True
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    size, more, started = 0, True, time.monotonic()
    pace = pace or Pace(LEAST_BYTES_PER_SECOND, STALL_SECONDS)
    while more:
        asked = time.monotonic()
        message = await _next_message(request, beat, beat_seconds)
        now = time.monotonic()
        if not pace.keeps(len(message.get("body", b"")), now - asked):
            raise _stalled()
        if now - started > longest_seconds:
            raise HTTPException(
                408, f"The body was not received within {longest_seconds / 60:.0f} minutes."
            )
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk
    request.scope[BODY_UNREAD] = False


async def _next_message(
    request: Request, beat: Callable[[], Awaitable[None]] | None, beat_seconds: float
) -> Message:
    silent_since = time.monotonic()
    while time.monotonic() - silent_since < STALL_SECONDS:
        with anyio.move_on_after(beat_seconds):
            return await request.receive()
        if beat is not None:
            await beat()
    raise _stalled()


async def small_body(
    request: Request, limit: int = SMALL_BODY_BYTES, grow: Grow = lambda _: None
) -> bytes:
    """Read a body without a recording within STALL_SECONDS; raises as `body` and `grow` do."""
    data = bytearray()
    try:
        with anyio.fail_after(STALL_SECONDS):
            async for chunk in body(request, limit):
                grow(len(chunk))
                data += chunk
        return bytes(data)
    except TimeoutError as error:
        raise _stalled() from error


def content_type(request: Request) -> str:
    """The media type of a request's body, without parameters; "" if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _stalled() -> HTTPException:
    return HTTPException(
        408, f"Too little was received in {STALL_SECONDS:.0f} seconds; send it again."
    )


def _too_large(limit: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"The request exceeds {limit / _MEBIBYTE:.4g} MiB; for recordings "
        "MAX_UPLOAD_SIZE_MB sets the limit."
    )


# -- JSON ----------------------------------------------------------------------------------------


class RequestModel(BaseModel):
    """The body of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_integer(cls, value: object) -> object:
        """Turn 3.0 into 3, as JSON does not distinguish them."""
        return int(value) if isinstance(value, float) and value.is_integer() else value


class OneOf(RequestModel):
    """Exactly one of the fields that may be left out."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.given
        return self

    @property
    def given(self) -> str:
        """The name of the field that was sent."""
        names = [n for n, field in type(self).model_fields.items() if not field.is_required()]
        sent = [name for name in names if name in self.model_fields_set]
        if len(sent) != 1:
            raise ValueError(f"Send exactly one of {', '.join(names)}")
        return sent[0]


class JsonBody(Generic[M]):
    """
    Dependency that parses a small JSON object; an empty body counts as `{}`.

    FastAPI's own body parameters would read the body before the caller is authenticated, without
    limits of size and time, and would accept repeated names.

    Raises:
        MalformedRequest, InvalidOptions, UploadTooLarge: the body is not such an object.
    """

    def __init__(self, model: type[M]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> M:
        data = await small_body(request)
        if len(data) > _QUICK_BYTES:
            return await run_compute(request, self._parse, data)
        return self._parse(data)

    def _parse(self, data: bytes) -> M:
        return validate(self.model, read_json(data, MOST_VALUES) if data.strip() else {})


def _has_more_values(value: object, most: int) -> bool:
    """Whether there are more than so many values in a value of JSON, whatever their depth."""
    left, found = [value], 0
    while left and found <= most:
        value = left.pop()
        inner = list(value.values()) if isinstance(value, dict) else value
        if isinstance(inner, list):
            found += len(inner)
            left += inner
    return found > most


def too_many_values() -> InvalidOptions:
    """The error about a body whose single values would be as many problems."""
    return InvalidOptions(f"There are more than {MOST_VALUES} values.")


def json_body(model: type[BaseModel]) -> Any:
    """The default of a route parameter that holds the JSON body."""
    return Depends(JsonBody(model))


def validate(model: type[M], value: object) -> M:
    """
    Parse a value.

    Raises:
        OptionProblems: names each field that is wrong.
        InvalidOptions: the fields are wrong together.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fields = [field.alias or name for name, field in model.model_fields.items()]
        found = problems_in(error.errors(include_url=False, include_input=False), fields)
        named = [each for each in found if each[0]]
        raise OptionProblems(named) if named else InvalidOptions(found[0][1]) from error


def read_json(data: bytes, most_values: int | None = None) -> dict[str, object]:
    """
    Parse a JSON object.

    Raises:
        MalformedRequest: the body is not valid JSON.
        InvalidOptions: the JSON is not an object, or has more values.
    """
    # Before parsing, which no other thread can interrupt.
    values = (found for found in _VALUE_BEGINS.finditer(data) if found.lastindex)
    # Texts of a body contain commas, too, but not so many; counting them takes a millisecond.
    too_many = data.count(b",") > _MOST_COMMAS
    if too_many or next(islice(values, _MOST_PARSED, None), None) is not None:
        raise InvalidOptions(f"The body has more than {_MOST_PARSED} values.")
    try:
        value = json.loads(data, object_pairs_hook=_without_repetition)
        if most_values is not None and _has_more_values(value, most_values):
            raise too_many_values()
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"The body is not valid JSON: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise InvalidOptions("The body must be a JSON object.")
    return value


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # RFC 8259 does not say which of two values counts, so proxies and this server may differ.
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object repeats a name")
    return made


# -- multipart forms -----------------------------------------------------------------------------

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
        grow: Grow = lambda _: None,
    ) -> None:
        """
        Args:
            fields_bytes: limit on all fields together.
            text_files: fields that may be sent as files, and an extra limit in bytes for each.
            grow: called with the bytes of fields as they come; may raise.

        Raises:
            MalformedRequest: the content type has no boundary.
        """
        self.fields: list[tuple[str, str]] = []
        self._grow = grow
        self._left = fields_bytes
        self._left_of = dict(text_files or {})
        self._events: list[FileBegins | bytes] = []
        self._part = _Part()
        self._header_name, self._header_value = bytearray(), bytearray()
        self._has_file = False
        self._ended = False
        self._parts = 0
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
        self._parts += 1
        if self._parts > MOST_VALUES:  # each takes some microseconds of the event loop
            raise too_many_values()
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
        self._grow(size)
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
        RateLimited: the tenant sends too many recordings, or too much text, at once.
        UploadTooLarge: by its announced length, or while it is received.
        MalformedRequest, InvalidOptions: the body is not a form, or not such a form.
        IdempotencyInProgress, StorageError: as `Submissions.start_upload` and
            `StreamedUpload.write` do.
        ClientDisconnect: the sender disconnected.
        HTTPException: 408, the sender paused for too long.
    """
    state = request.app.state
    with state.uploads.acquire(request), state.texts.hold(request) as grow:
        kind = request.headers.get("content-type", "")
        reader = FormReader(kind, fields_bytes, text_files, grow)
        limit = service.context.policy.max_upload_bytes + fields_bytes + _FRAMING_BYTES
        limit += sum((text_files or {}).values())
        async with _received(request, service, idempotency_key, reader, limit) as form:
            yield form


@asynccontextmanager
async def _received(
    request: Request,
    service: Service,
    idempotency_key: str | None,
    reader: FormReader,
    limit: int,
) -> AsyncIterator[ReceivedForm]:
    stream = UploadStream(service, idempotency_key)
    try:
        async for chunk in body(request, limit, stream.flush, stream.beat_seconds):
            for event in reader.feed(chunk):
                await stream.take(event)
        reader.finish()
        await stream.flush()
        async with stream.kept_alive():
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

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Renew the upload's lease within the context, while its recording waits and is probed."""
        beat = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beat.cancel()
            with suppress(asyncio.CancelledError):
                await beat

    async def _beat(self) -> None:
        while self.upload is not None:
            await asyncio.sleep(self.beat_seconds)
            with suppress(
                StorageError, JobNotFound
            ):  # the next beat may succeed, or `finish` tells
                await run_in_threadpool(self.upload.renew_lease)
