"""The status of a job, which is asked for all the time: made once per version, kept as bytes."""

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

import anyio
from fastapi.concurrency import run_in_threadpool

from meet_transcriber.api import serializers
from meet_transcriber.core.errors import StorageError, TranscriptionError
from meet_transcriber.core.formats import export
from meet_transcriber.core.jobs import Job
from meet_transcriber.service import JobQueries, Service

_Key = tuple[str | None, str, int, bool]
_KEPT_BYTES = 32 << 20
_FRESH_SECONDS = 0.5
"""How long queue position and ETA, which change without the record, are taken for true."""


@dataclass(frozen=True, slots=True)
class Status:
    """A job's status as it goes out.

    Attributes:
        retry_after: seconds to wait before asking again; None when nothing will change.
        until: on the monotonic clock; what is older is made again.
        speaks: whether the transcript is in it.
    """

    body: bytes
    etag: str
    retry_after: int | None
    until: float
    speaks: bool = False


@dataclass
class _Batch:
    job_ids: set[str] = field(default_factory=set)
    found: dict[str, int | TranscriptionError] | None = None


class VersionBatcher:
    """
    Versions of records in a store that has to be waited for.

    Whoever asks while others wait for an answer is asked for in the next round, all of them in
    one thread: no answer is older than its question, and many callers cost little more than one.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._next = _Batch()
        self._turn = anyio.Lock()

    async def get(self, job_id: str) -> int:
        """The version of a job's record now; raises JobNotFound or StorageError."""
        batch = self._next
        batch.job_ids.add(job_id)
        async with self._turn:
            if batch.found is None:
                if self._next is batch:
                    self._next = _Batch()
                batch.found = await run_in_threadpool(self._look, batch.job_ids)
        version = batch.found[job_id]
        if isinstance(version, TranscriptionError):
            raise version
        return version

    def _look(self, job_ids: set[str]) -> dict[str, int | TranscriptionError]:
        return {job_id: self._version(job_id) for job_id in job_ids}

    def _version(self, job_id: str) -> int | TranscriptionError:
        try:
            return self._service.queries.version(job_id)
        except TranscriptionError as error:
            return error


class StatusCache:
    """Statuses by tenant, job and version, the latest asked for; safe for several threads."""

    def __init__(self, service: Service, quick: bool = False) -> None:
        """
        Args:
            quick: the job store is on this machine and tells a version within microseconds.
        """
        self._quick = quick
        self._versions = VersionBatcher(service)
        self._kept: OrderedDict[_Key, Status] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    async def known(self, reading: JobQueries, job_id: str, with_transcript: bool) -> Status | None:
        """What is at hand of a job's present version; raises JobNotFound or StorageError."""
        version = reading.version(job_id) if self._quick else await self._versions.get(job_id)
        status = self._kept.get((reading.tenant, job_id, version, with_transcript))
        return None if status is None or status.until < time.monotonic() else status

    def get(self, reading: JobQueries, job_id: str, with_transcript: bool) -> Status:
        """
        A job's status as it is now.

        Raises:
            JobNotFound: there is none that this reader may see.
            StorageError: its transcript cannot be read.
        """
        while True:
            key = (reading.tenant, job_id, reading.version(job_id), with_transcript)
            status = self._kept.get(key)
            if status is not None and status.until >= time.monotonic():
                return status
            try:
                status = _made(reading, reading.job(job_id), with_transcript)
            except StorageError:  # unless somebody changed it meanwhile
                if reading.version(job_id) == key[2]:
                    raise
                continue
            self._keep(key, status)
            return status

    def _keep(self, key: _Key, status: Status) -> None:
        with self._lock:
            old = self._kept.pop(key, None)
            self._bytes += len(status.body) - (len(old.body) if old else 0)
            self._kept[key] = status
            while self._bytes > _KEPT_BYTES and self._kept:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped.body)


def _made(reading: JobQueries, job: Job, with_transcript: bool) -> Status:
    wait = reading.wait(job)
    body = serializers.status(job, wait)
    data = serializers.dumped(body)
    if with_transcript and job.state == "completed":
        transcript = reading.transcript_of(job)
        written = export(transcript, "json", job.options.word_timestamps).strip()
        data = data[:-1] + b',"transcript":' + written + b"}"
    tag = f"{serializers.edition(job)}.{job.version}"
    if job.ended:
        speaks = with_transcript and job.state == "completed"
        return Status(data, f'"{tag}"', None, float("inf"), speaks)
    pending = job.state == "pending"
    return Status(
        data,
        f'W/"{tag}.{body["queue_position"]}.{body["eta_seconds"]}"',
        serializers.RETRY_PENDING_SECONDS if pending else serializers.RETRY_RUNNING_SECONDS,
        time.monotonic() + _FRESH_SECONDS,
    )
