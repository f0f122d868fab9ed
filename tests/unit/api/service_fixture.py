"""A service on SQLite and a folder, with fake engines and a fake queue."""

import io
import threading
import time
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import numpy as np
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from meet_transcriber.core.errors import AddressRefused
from meet_transcriber.core.jobs import QUEUES, Job
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Segment, Span, Turn, Voice, Word
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.auth import Sealer
from meet_transcriber.ports.engines import AudioSource, Finding, Progress, Waveform
from meet_transcriber.ports.outbound import Fetched
from meet_transcriber.ports.stores import MediaStore
from meet_transcriber.service import Policy, Service, ServiceContext, SubmissionRequest
from meet_transcriber.service.task_runner import Engines, TaskRunner
from meet_transcriber.stores.disk import DiskMediaStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.fakes import FakeAudio, FakeQueue

SECONDS = 60.0


class FakeFetcher:
    """A UrlFetcher that accepts addresses of one host and fetches none."""

    def check(self, url: str) -> None:
        if not url.startswith("https://media.example/"):
            raise AddressRefused(f"{url} is not an address that may be called.")

    def fetch(self, url: str) -> AbstractContextManager[Fetched]:
        raise AddressRefused("Nothing is fetched here.")


class FakeDecoder:
    """An AudioDecoder that takes any bytes for a minute of silence."""

    def probe(self, media: BinaryIO) -> MediaInfo:
        return MediaInfo("wav", "pcm_s16le", SECONDS, 16_000, 1)

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        working.write(b"tape")
        progress(1.0)
        return PreparedAudio(SECONDS, 1, (0.0,)), Peaks(20, bytes(2 * 20 * int(SECONDS)))

    def open(self, working: object, prepared: PreparedAudio) -> AudioSource:
        return FakeAudio(duration=SECONDS)


class FakeVad:
    """A speech detector that finds 8 of every 10 seconds."""

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        return tuple(Span(at, at + 8.0) for at in np.arange(0.0, SECONDS, 10.0).tolist())


class FakeRecognizer:
    """A Recognizer that yields two words per span."""

    name = "fake-recognizer"

    def check(self, options: Options) -> None:
        """Accepts all options."""

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        for number, span in enumerate(speech):
            words = (
                Word(f"word{number}", span.start, span.start + 1.0, 0.9),
                Word("ends.", span.start + 1.0, span.end, 0.9),
            )
            yield Segment(words, None, "en")


class FakeDiarizer:
    """A Diarizer that alternates two speakers."""

    name = "fake-diarizer"

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        turns = [Turn(span.start, span.end, f"SPEAKER_0{at % 2}") for at, span in enumerate(speech)]
        voices = {"SPEAKER_00": Voice("fake-diarizer", (1.0, 0.0), 30.0)}
        return Diarization(tuple(turns), voices=voices)


def make_service(
    folder: Path,
    rules: Policy | None = None,
    media: MediaStore | None = None,
    sealer: Sealer | None = None,
) -> Service:
    """Return a service on `folder`; `media` replaces its folder of objects."""
    jobs = SqliteJobStore(folder / "jobs.sqlite3")
    media = media or DiskMediaStore(folder / "media")
    rules = rules or Policy(part_seconds=30.0)
    context = ServiceContext(
        jobs, media, FakeQueue(), FakeDecoder(), FakeFetcher(), time.time, rules, jobs
    )
    return Service(replace(context, sealer=sealer))


def work(service: Service, tasks: int = 100) -> int:
    """Run up to `tasks` tasks, as a worker would; return how many were run."""
    engines = Engines(lambda: Chosen(FakeRecognizer()), lambda: Chosen(FakeDiarizer()), FakeVad)
    worker = TaskRunner(service.context, engines, "worker", QUEUES, threading.Event())
    return sum(1 for _ in range(tasks) if worker.work())


def note_worker(service: Service, **said: object) -> None:
    """Register a worker that was seen just now."""
    facts: dict[str, Any] = {"queues": QUEUES, "state": "ready", "seen_at": time.time(), **said}
    info = WorkerInfo("worker", **facts)
    service.context.jobs.put_worker(info, 60.0)


def complete_job(service: Service, name: str = "standup.wav", data: bytes = b"tape") -> Job:
    """Submit a recording and run its job to the end."""
    upload = service.submissions.start_upload(name)
    upload.write(data)
    job = upload.finish(SubmissionRequest())
    work(service)
    return service.queries.job(job.id)


def stored_keys(service: Service) -> list[str]:
    """Return the keys of all stored objects."""
    return service.context.media.keys("jobs")


def wav(seconds: float = 1.0) -> bytes:
    """Return a WAV file of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(bytes(2 * round(16_000 * seconds)))
    return file.getvalue()


def stream(
    client: TestClient,
    path: str,
    then: Mapping[bytes, Callable[[], object]],
    headers: Mapping[str, str] | None = None,
) -> Any:
    """All events of a stream; calls what is to happen `then`, once each text has been sent."""
    waiting = dict(then)

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_act(message: Message) -> None:
            await send(message)
            for text in [text for text in waiting if text in message.get("body", b"")]:
                threading.Thread(target=waiting.pop(text)).start()

        with anyio.fail_after(20):  # else a stream that goes on would never fail a test
            await client.app(scope, receive, send_and_act)

    return TestClient(observed).get(path, headers=headers)
