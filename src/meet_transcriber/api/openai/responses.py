"""Waits for a transcript, and sends it whole or as events while it is made."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meet_transcriber.api.compute import run_compute
from meet_transcriber.api.openai.errors import ApiError, error_of
from meet_transcriber.api.openai.requests import TranscriptionRequest
from meet_transcriber.api.routes.events import key_holds
from meet_transcriber.api.serializers import JsonResponse, dumped
from meet_transcriber.core.errors import (
    JobError,
    KeyRefused,
    RateLimited,
    StorageError,
    TranscriptionError,
)
from meet_transcriber.core.formats import export
from meet_transcriber.core.formats.openai_json import (
    diarized_body,
    diarized_segments,
    diarized_text,
    languages_in,
    plain_body,
    usage,
    verbose_body,
    word_logprobs,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.languages import join_words
from meet_transcriber.core.transcript import Segment, Transcript, TranscriptWarning
from meet_transcriber.service import Service

CHECK_SECONDS = 0.3
"""How often a waiting request checks whether its sender is still there."""

_STORE_PATIENCE_SECONDS = 30.0
_UPLOAD_PATIENCE_SECONDS = 30.0


class JobWaiter:
    """
    One request that waits for one job.

    When the sender disconnects, the job is deleted, as no one wants it any more; unless the
    request had an Idempotency-Key, with which the sender can come back for the job.
    """

    def __init__(
        self,
        service: Service,
        request: Request,
        job: Job,
        *,
        keeps: bool,
        patience_seconds: float = _STORE_PATIENCE_SECONDS,
    ) -> None:
        """
        Args:
            keeps: whether the job continues when the sender disconnects.
            patience_seconds: how long the store may fail before that is an error.
        """
        self._service = service
        self.request = request
        self._keeps = keeps
        self._patience_seconds = patience_seconds
        self.job = job

    async def updates(self) -> AsyncIterator[bool]:
        """
        Follow the job until it has ended; yields at least every `CHECK_SECONDS` whether its
        record changed.

        Raises:
            ClientDisconnect: the sender disconnected.
            KeyRefused: the sender's key was revoked; the job continues.
            JobNotFound: the job was deleted.
            StorageUnavailable: the store failed for too long.
        """
        follow = self._service.changes.subscribe(
            self.job.tenant, self.job.id, self._patience_seconds
        )
        with follow as subscription:
            while True:
                if await self.request.is_disconnected():
                    if not self._keeps:
                        await run_in_threadpool(self._delete)
                    raise ClientDisconnect
                # A request may wait for hours; its key was checked only at the beginning.
                if not await key_holds(self.request):
                    raise KeyRefused("This API key was revoked while the job was in progress.")
                changed = (await subscription.next(CHECK_SECONDS)).changed
                if update := changed.get(self.job.id):
                    self.job = update.shown()
                yield update is not None
                if update is not None and self.job.ended:
                    return

    async def end(self, seconds: float) -> Job:
        """
        Wait for the end of the job.

        Raises:
            ApiError: 504, it takes longer than so many seconds; the job continues.
            ClientDisconnect, KeyRefused, JobNotFound, StorageUnavailable: as `updates` does.
        """
        deadline = time.monotonic() + seconds
        async for _ in self.updates():
            if time.monotonic() > deadline and not self.job.ended:
                raise _takes_longer(self.job, seconds)
        return self.job

    def _delete(self) -> None:
        with suppress(JobError, StorageError):  # otherwise the job goes on and stays in the list
            self._service.commands.delete(self.job.id)


async def wait_for_upload(service: Service, key: str | None) -> None:
    """
    Wait until the first request with this key has finished its upload, so that this one can join
    its job.

    A sender that lost its connection retries within a second, often before the server notices
    that the first connection is dead.
    """
    deadline = time.monotonic() + _UPLOAD_PATIENCE_SECONDS
    job = await run_in_threadpool(service.queries.with_key, key) if key else None
    if key is None or job is None or not _is_coming(job):
        return
    with service.changes.subscribe(job.tenant, job.id) as subscription:
        while job is not None and _is_coming(job) and time.monotonic() < deadline:
            if await subscription.next(deadline - time.monotonic()):
                job = await run_in_threadpool(service.queries.with_key, key)


def _is_coming(job: Job) -> bool:
    return job.state == "uploading" or job.deleted


def failure_of(job: Job) -> ApiError | None:
    """The error of an ended job without a transcript; None if it has one."""
    headers = {"x-job-id": job.id}
    if job.state == "completed":
        return None
    if job.state == "cancelled":
        return error_of("job_cancelled", "The job was cancelled.", headers)
    error = job.error
    code, message = (error.code, error.message) if error else ("worker_error", "The job failed.")
    return error_of(code, message, headers)


def _takes_longer(job: Job, seconds: float) -> ApiError:
    place = f"/transcribe/{job.id}"
    return ApiError(
        504,
        f"This recording takes longer than the {seconds:g} seconds (SYNC_LIMIT_SECONDS) that a "
        f"request may wait. Its job continues: fetch the result from {place}. Use stream=true or "
        "POST /transcribe for long recordings.",
        code="still_running",
        headers={"x-job-id": job.id, "location": place, "x-should-retry": "false"},
    )


_TEXT = "text/plain; charset=utf-8"


def transcript_response(service: Service, asked: TranscriptionRequest, job_id: str) -> Response:
    """The response with the whole transcript."""
    _, transcript = service.queries.transcript(job_id)
    if asked.form in ("srt", "vtt"):
        return Response(export(transcript, asked.form), media_type=_TEXT)
    if asked.form == "text":
        speakers = asked.options.enable_diarization
        text = diarized_text(transcript) if speakers else transcript.text
        return Response(f"{text}\n".encode("utf-8", "backslashreplace"), media_type=_TEXT)
    body = _body(asked, transcript)
    if warnings := warnings_of(asked, transcript.warnings):
        body["warnings"] = warnings
    return JsonResponse(body)


def warnings_of(
    asked: TranscriptionRequest, warnings: Sequence[TranscriptWarning]
) -> list[dict[str, str]]:
    """Everything that fell back or is in doubt, to be reported with the transcript."""
    return [{"code": each.code, "message": each.message} for each in (*asked.notes, *warnings)]


def _body(asked: TranscriptionRequest, transcript: Transcript) -> dict[str, Any]:
    if asked.form == "diarized_json":
        return diarized_body(transcript)
    if asked.form == "verbose_json":
        task, segments, words = asked.options.task, asked.segments, asked.words
        return verbose_body(transcript, task, segments=segments, words=words)
    return plain_body(transcript, asked.logprobs)


# -- events --------------------------------------------------------------------------------------

KEEPALIVE_SECONDS = 10.0
"""After so long without an event a comment is sent, as proxies close idle connections."""

Event = dict[str, Any]


class EventStream(Response):
    """
    Sends the chunks of an iterator.

    Unlike starlette's StreamingResponse, it does not end the iterator when the sender disconnects:
    the iterator has to tell that from a stopping server, as only the former deletes the job.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"} | headers)
        del self.headers["content-length"]  # not known before the end
        self._events = events

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for data in self._events:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def events(
    service: Service,
    asked: TranscriptionRequest,
    waiter: JobWaiter,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
) -> AsyncIterator[bytes]:
    """Yield the events of a job until its end; errors as OpenAI's `data: {"error": ...}`."""
    deltas = Deltas(service, asked.logprobs)
    sent = 0.0
    try:
        async for changed in waiter.updates():
            found = await _next_events(deltas, waiter) if changed else []
            if found or time.monotonic() - sent > keepalive_seconds:
                sent = time.monotonic()
                yield b"".join(map(_sse, found)) or b": still at work\n\n"
        if failure := failure_of(waiter.job):
            raise failure
        last = await run_compute(waiter.request, _final_events, service, asked, waiter.job.id)
        yield b"".join(map(_sse, last))
    except ApiError as error:
        yield _sse(error.body)
    except TranscriptionError as error:
        yield _sse(error_of(error.code, str(error)).body)
    except ClientDisconnect:
        return


async def _next_events(deltas: "Deltas", waiter: JobWaiter) -> list[Event]:
    with suppress(RateLimited):  # they come with a later change, or with the whole text
        return await run_compute(waiter.request, deltas.next_events, waiter.job)
    return []


class Deltas:
    """The text of finished parts, in the order of the recording."""

    def __init__(self, service: Service, logprobs: bool) -> None:
        self._queries = service.queries
        self._logprobs = logprobs
        self._known: set[str] = set()
        self._waiting: dict[str, list[Segment]] = {}
        self._next = 0
        self._last = ""

    def next_events(self, job: Job) -> list[Event]:
        """Events for the parts that were finished since the last call."""
        for name, segment in self._queries.parts(job, self._known):
            self._waiting.setdefault(name, []).append(segment)
        return [self._delta(segment) for segment in self._in_order()]

    def _in_order(self) -> Iterator[Segment]:
        # Parts are finished in any order; text is sent only up to the first that is missing.
        while (name := f"parts/{self._next:04d}.json") in self._known:
            self._next += 1
            yield from self._waiting.pop(name, [])

    def _delta(self, segment: Segment) -> Event:
        """A segment as text that continues the previous delta, with the space before it."""
        text = join_words([self._last, segment.text])[len(self._last) :] or segment.text
        self._last = segment.text or self._last
        event: Event = {"type": "transcript.text.delta", "delta": text}
        if self._logprobs:
            event["logprobs"] = word_logprobs(segment.words)
        return event


def _final_events(service: Service, asked: TranscriptionRequest, job_id: str) -> list[Event]:
    """Events that need the whole transcript: its speakers, and its text."""
    _, transcript = service.queries.transcript(job_id)
    event: Event = {
        "type": "transcript.text.done",
        "text": transcript.text,
        "languages": languages_in(transcript.segments),
        "usage": usage(transcript),
    }
    if asked.logprobs:
        event["logprobs"] = word_logprobs(transcript.words)
    if warnings := warnings_of(asked, transcript.warnings):
        event["warnings"] = warnings
    segments = diarized_segments(transcript) if asked.form == "diarized_json" else ()
    return [*segments, event]


def _sse(event: Event) -> bytes:
    return b"data: " + dumped(event) + b"\n\n"
