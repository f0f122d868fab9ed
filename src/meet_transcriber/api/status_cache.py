"""Rendered statuses of jobs, which clients poll: kept as bytes until the job changes."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

from fastapi.concurrency import run_in_threadpool

from meet_transcriber.api import serializers
from meet_transcriber.core.formats import export
from meet_transcriber.core.jobs import Job
from meet_transcriber.service import ChangeFeed, JobQueries

_Key = tuple[str | None, str, bool]
_FRESH_SECONDS = 0.5
"""How long queue position and ETA, which change without the record, are kept."""


@dataclass(frozen=True, slots=True)
class Status:
    """
    A job's status as sent to the client.

    Attributes:
        retry_after: seconds to wait before the next request; None when nothing will change.
        until: on the monotonic clock; expired statuses are rendered again.
        has_transcript: whether the body includes the transcript.
    """

    body: bytes
    etag: str
    retry_after: int | None
    until: float
    has_transcript: bool = False


class StatusCache:
    """
    The statuses last rendered, for use from the event loop.

    Each request first asks the change feed what has changed, so no answer is older than its
    question, even where another process changed the job.
    """

    def __init__(self, feed: ChangeFeed, quick: bool = False, most_bytes: int = 32 << 20) -> None:
        """
        Args:
            quick: the job store is on this machine and answers within microseconds.
            most_bytes: of all bodies together.
        """
        self._most_bytes = most_bytes
        self._feed = feed
        self._quick = quick
        self._marks: dict[str | None, int] = {}
        self._kept: OrderedDict[_Key, Status] = OrderedDict()
        self._bytes = 0

    async def get(self, queries: JobQueries, job_id: str, with_transcript: bool) -> Status:
        """
        Return a job's status as it is now.

        Raises:
            JobNotFound: this tenant has no such job.
            StorageError: the store does not answer, or the transcript cannot be read.
        """
        mark, key = await self._catch_up(queries.tenant), (queries.tenant, job_id, with_transcript)
        status = self._kept.get(key)
        if status is None or status.until < time.monotonic():
            render = partial(_status, queries, with_transcript)
            status = await run_in_threadpool(queries.consistent, job_id, render)
            if self._marks[queries.tenant] == mark:  # else it may have changed during rendering
                self._keep(key, status)
        return status

    async def _catch_up(self, tenant: str | None) -> int:
        """Drop what has changed; returns the mark up to which changes are known."""
        since = self._marks.get(tenant)
        if self._quick:
            changes = self._feed.changes_now(tenant or "", since)
        else:
            changes = await self._feed.changes(tenant or "", since)
        stale = [(tenant, job_id, flag) for job_id in changes.jobs for flag in (False, True)]
        if changes.missed:
            stale = [key for key in self._kept if key[0] == tenant]
        for key in stale:
            self._drop(key)
        self._marks[tenant] = changes.mark
        return changes.mark

    def _keep(self, key: _Key, status: Status) -> None:
        self._drop(key)
        self._kept[key] = status
        self._bytes += len(status.body)
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        if dropped := self._kept.pop(key, None):
            self._bytes -= len(dropped.body)


def _status(queries: JobQueries, with_transcript: bool, job: Job) -> Status:
    with_transcript = with_transcript and job.state == "completed"
    wait = queries.wait(job)
    body = serializers.status(job, wait)
    data = serializers.dumped(body)
    if with_transcript:
        transcript = queries.transcript_of(job)
        written = export(transcript, "json", job.options.word_timestamps).strip()
        data = data[:-1] + b',"transcript":' + written + b"}"
    tag = f"{serializers.edition(job)}.{job.version}"
    if job.ended:
        return Status(data, f'"{tag}"', None, float("inf"), with_transcript)
    pending = job.state == "pending"
    return Status(
        data,
        f'W/"{tag}.{body["queue_position"]}.{body["eta_seconds"]}"',
        serializers.RETRY_PENDING_SECONDS if pending else serializers.RETRY_RUNNING_SECONDS,
        time.monotonic() + _FRESH_SECONDS,
    )
