"""A worker's engines: looked for at first, and again when somebody asks."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meet_transcriber.bootstrap.engines import OnFetch
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.pipeline import Chosen
from meet_transcriber.service import FETCH_ASKED, SubmissionRequest
from meet_transcriber.service.task_runner import Engines
from meet_transcriber.settings import Settings
from meet_transcriber.worker.runtime import WorkerProcess
from tests.unit.api.service_fixture import (
    FakeDiarizer,
    FakeRecognizer,
    FakeVad,
    make_service,
)
from tests.unit.fakes import FakeQueue


class Hub:
    """Where a recognizer comes from, once it is in reach."""

    def __init__(self) -> None:
        self.in_reach, self.asked = False, 0

    def engines(self, _settings: Settings, fetching: OnFetch) -> Engines:
        self.asked += 1

        def recognizer() -> Chosen[FakeRecognizer]:
            if self.in_reach:
                fetching(5, 10)
                fetching(10, 10)
                return Chosen(FakeRecognizer())
            raise EngineUnavailable("The hub cannot be reached.")

        return Engines(recognizer, lambda: Chosen(FakeDiarizer()), FakeVad)


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def process(tmp_path: Path, hub: Hub) -> Iterator[WorkerProcess]:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    context = make_service(tmp_path).context
    made = WorkerProcess(
        settings, FakeQueue(), QUEUES, hub.engines, "w", lambda _settings, _queue: context
    )
    made.start()
    yield made
    made.wind_down()
    made.close()


def said(process: WorkerProcess, wanted: Callable[[WorkerInfo], bool]) -> WorkerInfo:
    """What the worker says of itself once it says this."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for worker in process.context.jobs.workers(process.context.clock()):
            if wanted(worker):
                return worker
        time.sleep(0.02)
    raise AssertionError("The worker never said so.")


def test_missing_engines_are_fetched_on_request(process: WorkerProcess, hub: Hub) -> None:
    before = said(process, lambda worker: worker.state == "ready")
    assert before.problem == "The hub cannot be reached."
    hub.in_reach = True
    process.context.jobs.set_fact(FETCH_ASKED, "now")
    after = said(process, lambda worker: not worker.problem)
    assert (after.state, after.engine, after.fetch_bytes) == ("ready", "fake-recognizer", 0)
    assert hub.asked == 2


def test_work_continues_with_available_engines(
    process: WorkerProcess, hub: Hub, tmp_path: Path
) -> None:
    said(process, lambda worker: worker.state == "ready")
    upload = make_service(tmp_path).submissions.start_upload("a.wav")
    upload.write(b"tape")
    job = upload.finish(SubmissionRequest())
    hub.in_reach = True
    process.context.jobs.set_fact(FETCH_ASKED, "now")
    said(process, lambda worker: not worker.problem)
    while process.work():
        pass
    assert process.context.jobs.get(job.id).state == "completed"
