"""Waiting for a job while the store comes and goes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message

from meet_transcriber.api.openai.requests import TranscriptionRequest
from meet_transcriber.api.openai.responses import JobWaiter, events
from meet_transcriber.core.auth import Caller
from meet_transcriber.core.errors import JobNotFound, StorageUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.service import Service
from meet_transcriber.service import SubmissionRequest as JobRequest
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.api.openai.app_fixture import make_app
from tests.unit.api.service_fixture import make_service, work


class Flaky(SqliteJobStore):
    """A store that fails to answer so many times."""

    away = 3

    def mark(self) -> int:
        self.away -= 1
        if self.away >= 0:
            raise StorageUnavailable("The store does not answer.")
        return super().mark()


async def stay() -> Message:
    """A sender that waits for ever."""
    await asyncio.sleep(3600)
    return {"type": "http.disconnect"}


def waiter_of(service: Service, patience_seconds: float = 30.0) -> JobWaiter:
    upload = service.submissions.start_upload("standup.wav")
    upload.write(b"tape")
    job = upload.finish(JobRequest(Options()))
    scope = {"type": "http", "scheme": "http", "method": "POST", "headers": []}
    request = Request({**scope, "app": make_app(service), "state": {"caller": Caller()}}, stay)
    return JobWaiter(service, request, job, keeps=False, patience_seconds=patience_seconds)


def flaky(folder: Path) -> Service:
    context = make_service(folder).context
    return Service(replace(context, jobs=Flaky(folder / "jobs.sqlite3")))


def test_a_short_outage_of_the_store_is_survived(tmp_path: Path) -> None:
    service = flaky(tmp_path)
    waiter = waiter_of(service)
    work(service)
    assert asyncio.run(waiter.end(60)).state == "completed"


def test_a_long_outage_of_the_store_ends_the_wait(tmp_path: Path) -> None:
    waiter = waiter_of(flaky(tmp_path), patience_seconds=-1.0)
    with pytest.raises(StorageUnavailable):
        asyncio.run(waiter.end(60))


def test_deleting_a_job_ends_the_wait(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    waiter = waiter_of(service)
    service.commands.delete(waiter.job.id)
    with pytest.raises(JobNotFound):
        asyncio.run(waiter.end(60))


async def first_of(stream: AsyncIterator[bytes], number: int) -> list[bytes]:
    return [await anext(stream) for _ in range(number)]


def test_a_stream_is_never_silent_for_long(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    stream = events(
        service, TranscriptionRequest(Options()), waiter_of(service), keepalive_seconds=0.0
    )
    assert asyncio.run(first_of(stream, 3)) == [b": still at work\n\n"] * 3


def test_a_stream_of_a_deleted_job_ends_with_an_error(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    waiter = waiter_of(service)
    service.commands.delete(waiter.job.id)
    (event,) = asyncio.run(first_of(events(service, TranscriptionRequest(Options()), waiter), 1))
    assert b'"code":"job_not_found"' in event
