"""Keeping a claimed task alive while it is worked on, and telling its work when to stop."""

import threading
from typing import Self

from meet_transcriber.core.errors import (
    JobCancelled,
    JobError,
    JobNotFound,
    LeaseLost,
    TranscriptionError,
)
from meet_transcriber.core.transitions import Claim, alive
from meet_transcriber.logs import get_logger
from meet_transcriber.service.ground import Ground

log = get_logger(__name__)

_LOOK_SECONDS = 0.5
_TOLD_SHARE = 0.01  # progress worth a write of its own


class WorkerStopping(TranscriptionError):
    """The worker is asked to end; the task goes back in good order."""

    code = "worker_stopping"


class Hold:
    """
    A Progress for the work on a claimed task, and the heartbeat of its lease.

    A thread renews the lease and looks whether the job was cancelled. The work learns of it
    at its next call of progress: JobCancelled, LeaseLost or WorkerStopping passes through it.
    """

    def __init__(self, ground: Ground, claim: Claim, stopping: threading.Event) -> None:
        self._ground = ground
        self._claim = claim
        self._stopping = stopping
        self._share = 0.0
        self._told = 0.0
        self._renewed = ground.clock()
        self._problem: JobError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __call__(self, share: float, /) -> None:
        self._share = max(self._share, min(share, 1.0))
        if self._problem is not None:
            raise self._problem
        if self._stopping.is_set():
            raise WorkerStopping("The worker is stopping.")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while self._problem is None and not self._over.wait(_LOOK_SECONDS):
            try:
                self._look()
            except JobError as error:
                self._problem = error
            except TranscriptionError as error:
                log.warning("heartbeat_delayed", job_id=self._claim.job.id, error=str(error))

    def _look(self) -> None:
        now, lease = self._ground.clock(), self._ground.rules.lease_seconds
        share = self._share
        if share > self._told + _TOLD_SHARE or abs(now - self._renewed) > lease / 3:
            self._ground.jobs.update(
                self._claim.job.id,
                lambda job: alive(
                    job, self._claim.task.name, self._claim.task.token, share, now, lease
                ),
            )
            self._told, self._renewed = share, now
        else:
            self._watch()

    def _watch(self) -> None:
        """Notice a cancelled or deleted job without writing."""
        job = self._ground.jobs.get(self._claim.job.id)
        if job.deleted:
            raise JobNotFound(f"Job {job.id} was deleted.")
        if job.state == "cancelled":
            raise JobCancelled("The job was cancelled.")
        if not any(task.token == self._claim.task.token for task in job.in_state("running")):
            raise LeaseLost(f"Task {self._claim.task.name} was taken over by another worker.")
