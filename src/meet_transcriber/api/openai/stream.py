"""A transcript as server-sent events, while it is being made."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meet_transcriber.api.openai.errors import ApiError, error_of
from meet_transcriber.api.openai.requests import TranscriptionRequest
from meet_transcriber.api.openai.responses import JobWaiter, failure_of, warnings_of
from meet_transcriber.api.serializers import dumped
from meet_transcriber.core.errors import TranscriptionError
from meet_transcriber.core.formats.openai_json import (
    diarized_segments,
    languages_in,
    usage,
    word_logprobs,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.languages import join_words
from meet_transcriber.core.transcript import Segment, Transcript
from meet_transcriber.service import Service

SILENCE_SECONDS = 10.0
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
        del self.headers["content-length"]
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
    silence_seconds: float = SILENCE_SECONDS,
) -> AsyncIterator[bytes]:
    """Yield the events of a job until its end; errors as OpenAI's `data: {"error": ...}`."""
    deltas = Deltas(service, asked.logprobs)
    spoke = 0.0
    try:
        async for changed in waiter.updates():
            found = await run_in_threadpool(deltas.next_events, waiter.job) if changed else []
            for event in found:
                yield _sse(event)
            if found:
                spoke = time.monotonic()
            elif time.monotonic() - spoke > silence_seconds:
                spoke = time.monotonic()
                yield b": still at work\n\n"
        if failure := failure_of(waiter.job):
            raise failure
        for event in await run_in_threadpool(_final_events, service, asked, waiter.job.id):
            yield _sse(event)
    except ApiError as error:
        yield _sse(error.body)
    except TranscriptionError as error:
        yield _sse(error_of(error.code, str(error)).body)
    except ClientDisconnect:
        return


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
    segments = diarized_segments(transcript) if asked.form == "diarized_json" else ()
    return [*segments, _done(asked, transcript)]


def _done(asked: TranscriptionRequest, transcript: Transcript) -> Event:
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
    return event


def _sse(event: Event) -> bytes:
    return b"data: " + dumped(event) + b"\n\n"
