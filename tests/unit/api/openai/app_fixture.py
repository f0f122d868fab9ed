"""An app with nothing but /v1, its jobs worked on by a thread with simulated engines."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from meet_transcriber.api.bodies import TextLimiter, UploadLimiter
from meet_transcriber.api.compute import make_executor
from meet_transcriber.api.openai.routes import router
from meet_transcriber.api.routes.events import KeyRechecks, StreamLimiter
from meet_transcriber.api.routes.submissions import probe_executor
from meet_transcriber.bootstrap import auth
from meet_transcriber.bootstrap.auth import build_auth
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import Recognizer
from meet_transcriber.service import Service
from meet_transcriber.service.task_runner import Engines, TaskRunner
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import FakeDiarizer, FakeRecognizer, FakeVad, make_service

Pairs = Sequence[tuple[str, str]]
TEXT = "word0 ends. word1 ends. word0 ends. word1 ends. word2 ends. word3 ends."


def settings(**changed: Any) -> Settings:
    """Settings of an installation that names its engines, `.env` aside."""
    named = {"asr_engine": "faster-whisper", "diarization_engine": "onnx", **changed}
    return Settings(_env_file=None, **named)


def make_app(service: Service, **changed: Any) -> FastAPI:
    """The app."""
    app, wanted = FastAPI(), settings(**{"auth_mode": "open", **changed})
    app.state.service, app.state.settings = service, wanted
    app.state.auth = build_auth(wanted, service.context.jobs)
    app.state.uploads, app.state.texts = UploadLimiter(), TextLimiter()
    app.state.limiter, app.state.probe_executor = auth.limits(wanted), probe_executor()
    app.state.streams, app.state.key_rechecks = StreamLimiter(), KeyRechecks()
    app.state.compute = make_executor()
    app.include_router(router)
    return app


def at_work(
    service: Service, recognizer: Recognizer | None = None, notes: Sequence[TranscriptWarning] = ()
) -> AbstractContextManager[None]:
    """A worker with simulated engines for as long as the context lasts."""
    heard: Chosen[Recognizer] = Chosen(recognizer or FakeRecognizer(), tuple(notes))
    return working(service, Engines(lambda: heard, lambda: Chosen(FakeDiarizer()), FakeVad))


@contextmanager
def working(service: Service, engines: Engines) -> Iterator[None]:
    """A worker with these engines."""
    stopping = threading.Event()
    worker = TaskRunner(service.context, engines, "worker", QUEUES, stopping)

    def run() -> None:
        while not stopping.is_set():
            if not worker.work():
                stopping.wait(0.02)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def call(app: FastAPI, method: str, path: str, **request: Any) -> httpx.Response:
    """One request to the app."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, timeout=60.0, **request)

    return asyncio.run(send())


def post(
    app: FastAPI,
    fields: Pairs = (),
    task: str = "transcriptions",
    headers: dict[str, str] | None = None,
    data: bytes = b"tape",
) -> httpx.Response:
    """A form with a recording; `model` is put in where it is not there."""
    sent = list(fields) if "model" in dict(fields) else [("model", "whisper-1"), *fields]
    parts = [(name, (None, value)) for name, value in sent]
    files = [*parts, ("file", ("standup.wav", data))]
    return call(app, "POST", f"/v1/audio/{task}", files=files, headers=headers)


def transcribed(folder: Path, *fields: tuple[str, str], task: str = "transcriptions") -> Any:
    """The answer to a request to a service of its own, with a worker."""
    service = make_service(folder)
    with at_work(service):
        return post(make_app(service), fields, task)
