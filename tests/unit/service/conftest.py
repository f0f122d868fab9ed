"""A service on SQLite and a folder, with fake engines and a clock that tests move."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.jobs import QUEUES, Job
from meet_transcriber.core.options import Options
from meet_transcriber.outbound.download import Fetcher
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import Diarizer, Recognizer
from meet_transcriber.service import Maintenance, Policy, Service, ServiceContext, SubmissionRequest
from meet_transcriber.service.task_runner import Engines, TaskRunner
from meet_transcriber.service.webhooks import WebhookDispatcher
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.fakes import (
    FakeClock,
    FakeDecoder,
    FakeDiarizer,
    FakeQueue,
    FakeRecognizer,
    FakeVad,
    FakeWebhookSender,
)

MEDIA = b"tape" * 1000


class ServiceFixture:
    """A service with the stores, the queue, the clock and the engines it uses."""

    def __init__(self, folder: Path, rules: Policy) -> None:
        self.clock, self.queue, self.sender = FakeClock(), FakeQueue(), FakeWebhookSender()
        self.jobs = SqliteJobStore(folder / "jobs.sqlite3")
        self.media = DiskMediaStore(folder / "media")
        fetcher = Fetcher(["127.0.0.1"], max_bytes=rules.max_upload_bytes)
        self.context = ServiceContext(
            self.jobs, self.media, self.queue, FakeDecoder(), fetcher, self.clock, rules, self.jobs
        )
        self.service = Service(self.context)
        self.webhooks = WebhookDispatcher(
            self.context, self.sender, lambda _: None, lambda *_: self.clock() + 60
        )
        self.maintenance = Maintenance(self.context, "test", self.webhooks)
        self.stopping = threading.Event()

    def worker(
        self,
        name: str = "w",
        recognizer: Recognizer | None = None,
        diarizer: Diarizer | None = None,
        queues: tuple[str, ...] = QUEUES,
        make_diarizer: Callable[[], Chosen[Diarizer]] | None = None,
    ) -> TaskRunner:
        recognizers, diarizers = (
            Chosen(recognizer or FakeRecognizer()),
            Chosen(diarizer or FakeDiarizer()),
        )
        engines = Engines(lambda: recognizers, make_diarizer or (lambda: diarizers), FakeVad)
        return TaskRunner(self.context, engines, name, queues, self.stopping)

    def submit(self, name: str = "standup.ogg", media: bytes = MEDIA, **options: Any) -> Job:
        upload = self.service.submissions.start_upload(name)
        upload.write(media)
        return upload.finish(SubmissionRequest(Options(**options)))

    def complete_job(self, **options: Any) -> Job:
        """Submit a recording and let one worker run its job to the end."""
        job = self.submit(**options)
        worker = self.worker()
        while worker.work():
            pass
        return self.jobs.get(job.id)

    def advance(self, seconds: float) -> None:
        """Move the clock forward and run maintenance."""
        self.clock.at += seconds
        self.maintenance.run_once()
        self.maintenance.wait()

    def stored_keys(self) -> list[str]:
        return self.media.keys("jobs")


@contextmanager
def open_fixture(folder: Path, rules: Policy) -> Iterator[ServiceFixture]:
    fixture = ServiceFixture(folder, rules)
    yield fixture
    fixture.jobs.close()


@pytest.fixture
def fixture(tmp_path: Path) -> Iterator[ServiceFixture]:
    with open_fixture(tmp_path, Policy(part_seconds=100)) as fixture:
        yield fixture


class _MediaHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path.endswith(".ogg")
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(MEDIA if found else b"")

    def log_message(self, *_: object) -> None:
        """Not needed."""


@pytest.fixture
def media_server() -> Iterator[str]:
    """Serves MEDIA under every name that ends with .ogg."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _MediaHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
