"""What every part of the service stands on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.jobs import MAX_ATTEMPTS, Job
from meet_transcriber.core.plan import TARGET_SECONDS
from meet_transcriber.ports.engines import AudioDecoder
from meet_transcriber.ports.outside import UrlFetcher
from meet_transcriber.ports.queues import JobQueue
from meet_transcriber.ports.stores import Clock, DirectUploads, JobStore, MediaStore, TextIndex

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """What the operator decided.

    Attributes:
        max_upload_bytes: of one recording.
        lease_seconds: a worker that is silent for so long has lost its task.
        max_attempts: deaths of a task in a row, without getting further, that end its job.
        part_seconds: length that parts aim at.
        drop_recording: whether an upload goes as soon as its working audio is there.
        keep_audio: whether recordings stay when their job is completed.
        result_ttl_seconds: how long results stay after the end; None keeps them.
        expire_edited: whether results that somebody edited go as well.
        max_queued_jobs: of everybody, that have not ended; None does not limit, as below.
        max_jobs_in_flight: the same of one tenant.
        max_audio_seconds: that a tenant may submit within a day.
        max_stored_bytes: of recordings that a tenant may keep.
    """

    max_upload_bytes: int = 500 << 20
    lease_seconds: float = 30.0
    max_attempts: int = MAX_ATTEMPTS
    part_seconds: float = TARGET_SECONDS
    drop_recording: bool = False
    keep_audio: bool = True
    result_ttl_seconds: float | None = None
    expire_edited: bool = False
    max_queued_jobs: int | None = None
    max_jobs_in_flight: int | None = None
    max_audio_seconds: float | None = None
    max_stored_bytes: int | None = None


@dataclass(frozen=True)
class Ground:
    """The adapters that were chosen, and the rules.

    Attributes:
        text: the store's full-text index; None where it has none.
        direct: the media store as a bucket that takes uploads without us; None where it cannot.
    """

    jobs: JobStore
    media: MediaStore
    queue: JobQueue
    decoder: AudioDecoder
    fetcher: UrlFetcher
    clock: Clock
    rules: Rules = Rules()
    text: TextIndex | None = None
    direct: DirectUploads | None = None

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        """
        Update a record and tell workers about the tasks that became ready by it.

        Raises:
            JobNotFound, TranscriptionError: as `JobStore.update` does.
        """
        ready: set[str] = set()

        def noting(job: Job) -> Job:
            ready.clear()
            ready.update(task.name for task in job.in_state("ready"))
            return change(job)

        job = self.jobs.update(job_id, noting)
        for task in job.in_state("ready"):
            if task.name not in ready:
                self.nudge(task.queue, job.id, task.name)
        return job

    def nudge(self, queue: str, job_id: str, task: str) -> None:
        """Say that a task is ready; what is not heard now is said again by tending."""
        try:
            self.queue.nudge(queue, job_id, task)
        except StorageUnavailable as error:
            log.warning("nudge_failed job_id=%s: %s", job_id, error)
