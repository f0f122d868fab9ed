"""Jobs in every state, replaced when a request changes them, and a worker for waiting jobs."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from meet_transcriber.core.edits import Edit
from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.core.jobs import QUEUES, Failure, Job
from meet_transcriber.core.transitions import claimed, ended
from meet_transcriber.service import Service, SubmissionRequest
from tests.unit.api.service_fixture import wav, work

STATES = ("completed", "pending", "edited", "failed", "processing", "cancelled", "deleted")
"""What a job may be, and two more that routes tell apart: edited, deleted."""

_LEASE_SECONDS = 3600.0


class JobsByState:
    """One job per state; another is made when a request has changed the last one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: dict[str, str] = {}

    def job(self, state: str) -> str:
        """The id of a job that is in this state right now."""
        job_id = self._kept.get(state)
        if job_id is None or self._state(job_id) != state:
            job_id = self._kept[state] = self._submitted()
            getattr(self, f"_make_{state}")(job_id)
        assert self._state(job_id) == state
        return job_id

    def _state(self, job_id: str) -> str:
        try:
            job = self._service.queries.job(job_id)
        except JobNotFound:
            return "deleted"
        return "edited" if job.edited and job.state == "completed" else job.state

    def _submitted(self) -> str:
        upload = self._service.submissions.start_upload("standup.wav")
        upload.write(wav(0.01))
        return upload.finish(SubmissionRequest()).id

    def _make_pending(self, job_id: str) -> None:
        """As it is."""

    def _make_processing(self, job_id: str) -> None:
        now = time.time()
        held = partial(claimed, queues=QUEUES, worker="far away", now=now, lease=_LEASE_SECONDS)
        self._service.context.jobs.update(job_id, held)

    def _make_completed(self, job_id: str) -> None:
        while not self._service.queries.job(job_id).ended:
            work(self._service)

    def _make_edited(self, job_id: str) -> None:
        self._make_completed(job_id)
        self._service.commands.edit(job_id, Edit("text", 0, text="Something else."))

    def _make_failed(self, job_id: str) -> None:
        self._service.context.jobs.update(job_id, _failed)

    def _make_cancelled(self, job_id: str) -> None:
        self._service.commands.cancel(job_id)

    def _make_deleted(self, job_id: str) -> None:
        self._service.commands.delete(job_id)


def _failed(job: Job) -> Job:
    failure = Failure("unreadable_audio", "The recording cannot be read.")
    return replace(ended(job, "failed", time.time()), error=failure)


@contextmanager
def at_work(service: Service) -> Iterator[None]:
    """Do what there is to do, in a thread, for as long as the context lasts."""
    over = threading.Event()

    def labour() -> None:
        while not over.is_set():
            if not work(service, tasks=1):
                over.wait(0.01)

    thread = threading.Thread(target=labour)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def ended_soon(service: Service, job_id: str, seconds: float = 0.2) -> Iterator[None]:
    """Cancel a job in a moment, so that whoever follows it comes to the end."""

    def end() -> None:
        if not service.queries.job(job_id).ended:
            service.commands.cancel(job_id)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.join()
