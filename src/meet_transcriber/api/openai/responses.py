"""A finished transcript in the format that was asked for, and waiting for it."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from meet_transcriber.api.openai.errors import ApiError, error_of
from meet_transcriber.api.openai.requests import TranscriptionRequest
from meet_transcriber.core.errors import JobError, StorageError, StorageUnavailable
from meet_transcriber.core.formats import export
from meet_transcriber.core.formats.openai_json import (
    diarized_body,
    diarized_text,
    plain_body,
    verbose_body,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.transcript import Transcript, TranscriptWarning
from meet_transcriber.service import Service

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 0.3
"""Seconds between two looks at a job; they grow from one to the other."""

_STORE_PATIENCE_SECONDS = 30.0
_UPLOAD_PATIENCE_SECONDS = 30.0


class Waiter:
    """
    One request that waits for one job.

    A sender that goes away wants nothing any more, so its job is deleted; unless it sent an
    Idempotency-Key, by which it can come back for the job.
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
            keeps: whether the job goes on when the sender goes away.
            patience_seconds: how long the store may be away before that is an error.
        """
        self._service = service
        self._request = request
        self._keeps = keeps
        self._patience_seconds = patience_seconds
        self._heard = time.monotonic()
        self.job = job

    async def looks(self) -> AsyncIterator[bool]:
        """
        Look at the job again and again until it has ended; says whether its record changed.

        Raises:
            ClientDisconnect: the sender went away.
            JobNotFound: somebody deleted the job.
            StorageUnavailable: the store was away for too long.
        """
        pause, version = SHORTEST_PAUSE, -1
        while True:
            if await self._request.is_disconnected():
                await self.give_up()
                raise ClientDisconnect
            self.job = await run_in_threadpool(self._look)
            changed, version = self.job.version != version, self.job.version
            yield changed
            if self.job.ended:
                return
            await anyio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 1.1)

    async def end(self, seconds: float) -> Job:
        """
        Wait for the end of the job.

        Raises:
            ApiError: 504, it takes longer than so many seconds; the job goes on.
            ClientDisconnect, JobNotFound, StorageUnavailable: as `looks` does.
        """
        deadline = time.monotonic() + seconds
        async for _ in self.looks():
            if time.monotonic() > deadline and not self.job.ended:
                raise _takes_longer(self.job, seconds)
        return self.job

    async def give_up(self) -> None:
        """The sender is gone."""
        if not self._keeps:
            await run_in_threadpool(self._delete)

    def _delete(self) -> None:
        with suppress(JobError, StorageError):  # else it goes on, and stays in the list
            self._service.commands.delete(self.job.id)

    def _look(self) -> Job:
        """The record as it is; the one known before while the store is away for a moment."""
        now = time.monotonic()
        try:
            reading = self._service.queries
            changed = reading.version(self.job.id) != self.job.version
            job = reading.job(self.job.id) if changed else self.job
        except StorageUnavailable:
            if now - self._heard > self._patience_seconds:
                raise
            return self.job
        self._heard = now
        return job


async def upload_settled(service: Service, key: str | None) -> None:
    """
    Let the first request with this key finish its upload, so that this one can join its job.

    A sender that lost its connection comes back within a second, often before the server
    noticed that the first connection is dead.
    """
    deadline = time.monotonic() + _UPLOAD_PATIENCE_SECONDS
    while key is not None and time.monotonic() < deadline:
        job = await run_in_threadpool(service.queries.with_key, key)
        if job is None or not (job.state == "uploading" or job.deleted):
            return
        await anyio.sleep(LONGEST_PAUSE)


def failure_of(job: Job) -> ApiError | None:
    """Why a job that has ended has no transcript; None where it has one."""
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
        f"request may wait. Its job goes on: fetch the result from {place}. Use stream=true or "
        "POST /transcribe for long recordings.",
        code="still_running",
        headers={"x-job-id": job.id, "location": place, "x-should-retry": "false"},
    )


_TEXT = "text/plain; charset=utf-8"


def answer(asked: TranscriptionRequest, transcript: Transcript) -> Response:
    """The response with the whole transcript."""
    if asked.form in ("srt", "vtt"):
        return Response(export(transcript, asked.form), media_type=_TEXT)
    if asked.form == "text":
        return Response(encoded(_text(asked, transcript) + "\n"), media_type=_TEXT)
    body = _body(asked, transcript)
    if warnings := told(asked, transcript.warnings):
        body["warnings"] = warnings
    return Response(as_json(body), media_type="application/json")


def told(
    asked: TranscriptionRequest, warnings: Sequence[TranscriptWarning]
) -> list[dict[str, str]]:
    """What fell back or is in doubt: nothing of that is ever kept from who asked."""
    return [{"code": each.code, "message": each.message} for each in (*asked.notes, *warnings)]


def as_json(body: dict[str, Any]) -> bytes:
    """Compact JSON on one line; what is no Unicode text becomes an escape."""
    return encoded(json.dumps(body, ensure_ascii=False, separators=(",", ":")))


def encoded(text: str) -> bytes:
    """UTF-8, with an escape for what is no Unicode text."""
    return text.encode("utf-8", "backslashreplace")


def _text(asked: TranscriptionRequest, transcript: Transcript) -> str:
    return diarized_text(transcript) if asked.options.enable_diarization else transcript.text


def _body(asked: TranscriptionRequest, transcript: Transcript) -> dict[str, Any]:
    if asked.form == "diarized_json":
        return diarized_body(transcript)
    if asked.form == "verbose_json":
        task, segments, words = asked.options.task, asked.segments, asked.words
        return verbose_body(transcript, task, segments=segments, words=words)
    return plain_body(transcript, asked.logprobs)
