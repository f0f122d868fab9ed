"""A whole service on one context: SQLite, a folder, simulated engines, a clock that stands."""

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
from meet_transcriber.service import (
    Engines,
    Maintenance,
    Policy,
    Service,
    ServiceContext,
    SubmissionRequest,
    TaskRunner,
)
from meet_transcriber.service.webhooks import WebhookDispatcher
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.fakes import Bell, Deck, Ear, Judge, Now, Scribe, Sender

TAPE = b"tape" * 1000


class House:
    """The service and everything around it that a test wants to touch."""

    def __init__(self, folder: Path, rules: Policy) -> None:
        self.now, self.bell, self.sender = Now(), Bell(), Sender()
        self.jobs = SqliteJobStore(folder / "jobs.sqlite3")
        self.media = DiskMediaStore(folder / "media")
        fetcher = Fetcher(["127.0.0.1"], max_bytes=rules.max_upload_bytes)
        self.context = ServiceContext(
            self.jobs, self.media, self.bell, Deck(), fetcher, self.now, rules, self.jobs
        )
        self.service = Service(self.context)
        self.webhooks = WebhookDispatcher(
            self.context, self.sender, None, lambda *_: self.now() + 60
        )
        self.tending = Maintenance(self.context, "test", self.webhooks)
        self.stopping = threading.Event()

    def worker(
        self,
        name: str = "w",
        recognizer: Recognizer | None = None,
        diarizer: Diarizer | None = None,
        queues: tuple[str, ...] = QUEUES,
        make_diarizer: Callable[[], Chosen[Diarizer]] | None = None,
    ) -> TaskRunner:
        heard, judged = Chosen(recognizer or Scribe()), Chosen(diarizer or Judge())
        engines = Engines(lambda: heard, make_diarizer or (lambda: judged), Ear)
        return TaskRunner(self.context, engines, name, queues, self.stopping)

    def submit(self, name: str = "standup.ogg", tape: bytes = TAPE, **wishes: Any) -> Job:
        upload = self.service.submissions.begin(name)
        upload.write(tape)
        return upload.finish(SubmissionRequest(Options(**wishes)))

    def finished(self, **wishes: Any) -> Job:
        """A job that one worker saw through."""
        job = self.submit(**wishes)
        worker = self.worker()
        while worker.work():
            pass
        return self.jobs.get(job.id)

    def later(self, seconds: float) -> None:
        """Let time pass and look after what became due."""
        self.now.at += seconds
        self.tending.tend()

    def left(self) -> list[str]:
        return self.media.keys("jobs")


@contextmanager
def house_in(folder: Path, rules: Policy) -> Iterator[House]:
    house = House(folder, rules)
    yield house
    house.jobs.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_in(tmp_path, Policy(part_seconds=100)) as house:
        yield house


class _Tapes(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path.endswith(".ogg")
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(TAPE if found else b"")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def tape_server() -> Iterator[str]:
    """Serves a tape under every name that ends with .ogg."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Tapes) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
