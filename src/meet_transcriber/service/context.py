"""Shared dependencies and policy of the service."""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from meet_transcriber.core.errors import InvalidOptions, StorageUnavailable
from meet_transcriber.core.jobs import MAX_ATTEMPTS, Job, waited_seconds, worked_seconds
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import TARGET_SECONDS
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.auth import Sealer
from meet_transcriber.ports.engines import AudioDecoder
from meet_transcriber.ports.observability import UNMETERED, Meters, Tracer
from meet_transcriber.ports.outbound import UrlFetcher
from meet_transcriber.ports.stores import (
    Clock,
    JobQueue,
    JobStore,
    MediaStore,
    TextIndex,
    Updated,
)
from meet_transcriber.service.probing import Probes

log = get_logger(__name__)

FIRST_GUESS_RTF = 0.3
_RTF = "rtf"
_LOCK_WAIT_SECONDS = 2.0
_FIRST_LOCK_PAUSE_SECONDS, _LONGEST_LOCK_PAUSE_SECONDS = 0.002, 0.1


@dataclass(frozen=True)
class Policy:
    """The operator's limits and retention rules; None means unlimited.

    Attributes:
        max_upload_bytes: of one recording.
        lease_seconds: how long a worker keeps its task without renewing the lease.
        max_attempts: deaths of a task in a row, without further progress, that fail its job.
        part_seconds: target length of parts.
        drop_recording: whether a recording is deleted as soon as its working audio exists.
        keep_audio: whether recordings are kept when their job is completed.
        result_ttl_seconds: how long results are kept after the job's end.
        expire_edited: whether edited results expire as well.
        max_queued_jobs: unfinished jobs of all tenants.
        max_jobs_in_flight: unfinished jobs of one tenant.
        max_audio_seconds: that a tenant may submit within a day.
        max_stored_bytes: of recordings that a tenant may store.
        translation_problem: why the task `translate` is refused; empty if the model supports it.
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
    translation_problem: str = ""


@dataclass(frozen=True)
class ServiceContext:
    """The configured adapters and policy.

    Attributes:
        text: the store's full-text index; None if it has none.
        tracer: None without a collector of traces.
        sealer: encrypts stored voices; None if none are stored (VOICE_PROFILES=off).
        probes: runs the decoder's probes; one for all contexts of a process.
    """

    jobs: JobStore
    media: MediaStore
    queue: JobQueue
    decoder: AudioDecoder
    fetcher: UrlFetcher
    clock: Clock
    policy: Policy = Policy()
    text: TextIndex | None = None
    meters: Meters = UNMETERED
    tracer: Tracer | None = None
    sealer: Sealer | None = None
    probes: Probes = field(default_factory=Probes)

    def probe(self, tenant: str, media: BinaryIO) -> MediaInfo:
        """Probe a recording of a tenant when its turn comes; raises as `Probes.probe` does."""
        return self.probes.probe(tenant, self.decoder, media)

    def check_options(self, options: Options) -> None:
        """Raise InvalidOptions for a task that the configured model does not support."""
        if options.task == "translate" and self.policy.translation_problem:
            raise InvalidOptions(self.policy.translation_problem)

    def update(self, job_id: str, change: Callable[[Job], Job]) -> Updated:
        """
        Update a record, announce the tasks that this made ready, and log and count a job's end.

        Raises:
            JobNotFound, TranscriptionError: as `JobStore.update` does.
        """
        before, job = updated = self.jobs.update(job_id, change)
        ready = {task.name for task in before.in_state("ready")}
        for task in job.in_state("ready"):
            if task.name not in ready:
                self.notify(task.queue, job.id, task.name)
        if job.ended and not before.ended:
            self.meters.job_ended(job)
            log.info("job_finished", **summary(job))
        return updated

    def notify(self, queue: str, job_id: str, task: str) -> None:
        """Announce a ready task; if the broker is down, maintenance announces it later."""
        try:
            self.queue.notify(queue, job_id, task)
        except StorageUnavailable as error:
            log.warning("notify_failed", job_id=job_id, error=str(error))

    @contextmanager
    def locked(self, name: str, busy: str, lease_seconds: float) -> Iterator[Callable[[], None]]:
        """
        Hold a lock of the store within the context; that of a process that died expires.

        Yields a function that raises StorageUnavailable if the lock was lost.

        Args:
            busy: message for users where the lock is lost or not free soon.

        Raises:
            StorageUnavailable: others hold the lock for longer than this may wait.
        """
        holder = uuid.uuid4().hex
        self._acquire(name, holder, busy, lease_seconds)

        def check_held() -> None:
            if not self.jobs.extend_lock(name, holder, lease_seconds, self.clock()):
                raise StorageUnavailable(busy)

        try:
            yield check_held
        finally:
            with suppress(StorageUnavailable):  # it expires; what was done under it is done
                self.jobs.unlock(name, holder)

    def _acquire(self, name: str, holder: str, busy: str, lease_seconds: float) -> None:
        """Wait for a lock, but not for long, because a thread of the pool waits with it."""
        give_up_at, pause = time.monotonic() + _LOCK_WAIT_SECONDS, _FIRST_LOCK_PAUSE_SECONDS
        while not self.jobs.lock(name, holder, lease_seconds, self.clock()):
            if time.monotonic() > give_up_at:
                raise StorageUnavailable(busy)
            time.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - only spreads load
            pause = min(2 * pause, _LONGEST_LOCK_PAUSE_SECONDS)

    def seconds_left(self, audio_seconds: float) -> float | None:
        """Estimate how long the workers need to recognize this audio; None without a worker."""
        rtf = self.rtf()
        return None if rtf is None else audio_seconds * rtf

    def rtf(self) -> float | None:
        """Seconds that all workers together need per second of audio; None without a worker."""
        workers = len(self.jobs.workers(self.clock()))
        rtf = float(self.jobs.get_fact(_RTF) or FIRST_GUESS_RTF)
        return rtf / workers if workers else None

    def record_speed(self, rtf: float) -> None:
        """Update the moving average of seconds of work per second of audio, for estimates."""
        known = self.jobs.get_fact(_RTF)
        average = rtf if known is None else 0.8 * float(known) + 0.2 * rtf
        self.jobs.set_fact(_RTF, f"{average:.4f}")


def summary(job: Job) -> dict[str, object]:
    """The log fields of a job that has ended; they contain no speech and no file names."""
    waited, worked = waited_seconds(job), worked_seconds(job)
    known = {
        "job_id": job.id,
        "request_id": job.origin.request_id,
        "state": job.state,
        "code": job.error.code if job.error else None,
        "audio_seconds": job.duration and round(job.duration, 2),
        "waited_seconds": None if waited is None else round(waited, 2),
        "worked_seconds": None if worked is None else round(worked, 2),
        "rtf": round(worked / job.duration, 3) if worked and job.duration else None,
        "speakers": job.speakers_found,
        "engine": job.engine or None,
        "diarizer": job.diarizer,
        "attempts": job.fence,
        "tasks": len(job.tasks),
        "run": job.run,
        "size_bytes": job.size_bytes,
        "warnings": [warning.code for warning in job.warnings] or None,
    }
    return {name: value for name, value in known.items() if value is not None}
