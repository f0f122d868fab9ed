"""Waits for a transcript, and builds the response in the requested format."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from meet_transcriber.api.openai.errors import ApiError, error_of
from meet_transcriber.api.openai.requests import TranscriptionRequest
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.core.errors import JobError, StorageError
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
        self._request = request
        self._keeps = keeps
        self._patience_seconds = patience_seconds
        self.job = job

    async def updates(self) -> AsyncIterator[bool]:
        """
        Follow the job until it has ended; yields at least every `CHECK_SECONDS` whether its
        record changed.

        Raises:
            ClientDisconnect: the sender disconnected.
            JobNotFound: the job was deleted.
            StorageUnavailable: the store failed for too long.
        """
        follow = self._service.changes.subscribe(
            self.job.tenant, self.job.id, self._patience_seconds
        )
        with follow as subscription:
            while True:
                if await self._request.is_disconnected():
                    await self._give_up()
                    raise ClientDisconnect
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
            ClientDisconnect, JobNotFound, StorageUnavailable: as `updates` does.
        """
        deadline = time.monotonic() + seconds
        async for _ in self.updates():
            if time.monotonic() > deadline and not self.job.ended:
                raise _takes_longer(self.job, seconds)
        return self.job

    async def _give_up(self) -> None:
        if not self._keeps:
            await run_in_threadpool(self._delete)

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


def transcript_response(asked: TranscriptionRequest, transcript: Transcript) -> Response:
    """The response with the whole transcript."""
    if asked.form in ("srt", "vtt"):
        return Response(export(transcript, asked.form), media_type=_TEXT)
    if asked.form == "text":
        text = f"{_text(asked, transcript)}\n".encode("utf-8", "backslashreplace")
        return Response(text, media_type=_TEXT)
    body = _body(asked, transcript)
    if warnings := warnings_of(asked, transcript.warnings):
        body["warnings"] = warnings
    return JsonResponse(body)


def warnings_of(
    asked: TranscriptionRequest, warnings: Sequence[TranscriptWarning]
) -> list[dict[str, str]]:
    """Everything that fell back or is in doubt, to be reported with the transcript."""
    return [{"code": each.code, "message": each.message} for each in (*asked.notes, *warnings)]


def _text(asked: TranscriptionRequest, transcript: Transcript) -> str:
    return diarized_text(transcript) if asked.options.enable_diarization else transcript.text


def _body(asked: TranscriptionRequest, transcript: Transcript) -> dict[str, Any]:
    if asked.form == "diarized_json":
        return diarized_body(transcript)
    if asked.form == "verbose_json":
        task, segments, words = asked.options.task, asked.segments, asked.words
        return verbose_body(transcript, task, segments=segments, words=words)
    return plain_body(transcript, asked.logprobs)
