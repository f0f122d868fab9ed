"""The API and its workers as real processes, for tests that kill some of them."""

import io
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import httpx

from meet_transcriber.bootstrap import services
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.settings import Settings
from tests.redis_server import free_port

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60.0

T = TypeVar("T")


def wait_for(what: Callable[[], T], seconds: float = WAIT_SECONDS) -> T:
    """Ask again and again until the answer is true; returns it."""
    give_up_at = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < give_up_at, "it took too long"
        time.sleep(0.02)
    return answer


def recording(seconds: int) -> bytes:
    """A WAV file of so many seconds of quiet noise."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16_000, 0, "NONE", ""))
        writer.writeframes(bytes(byte % 64 for byte in range(250)) * 128 * seconds)
    return file.getvalue()


class System:
    """A service, its data in a folder; each second of a recording is a part.

    Args:
        variables: of the environment, beside those that make everything quick.
    """

    def __init__(self, folder: Path, **variables: object) -> None:
        self.log = folder / "simulated.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        wanted: Mapping[str, object] = {
            "DATA_DIR": folder / "data",
            "AUTH_MODE": "open",
            "RATE_LIMIT": "0",
            "RATE_LIMIT_SUBMIT": "0",
            "EMBEDDED_WORKER": "off",  # here; a host is told otherwise
            "LEASE_SECONDS": 30,
            "PART_SECONDS": 1,
            "SIMULATED_LOG": self.log,
            **variables,
        }
        self.environment = {name: str(value) for name, value in wanted.items()}
        known = {name.lower(): value for name, value in self.environment.items()}
        self.settings = Settings.model_validate(known)
        self.queue = services.open_queue(self.settings)
        self.service: Service = services.service(self.settings, self.queue)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.clients: list[httpx.Client] = []

    def __enter__(self) -> "System":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        for process in self.processes:
            process.kill()
            process.wait()
        self.queue.close()
        self.service.context.jobs.close()

    def start(
        self,
        *arguments: str,
        stdin: int | None = None,
        cwd: Path = ROOT,
        more: Mapping[str, object] = MappingProxyType({}),
        out: Path | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Run Python with these arguments, in this environment; all it says may go to a file."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT)}
        environment |= {name: str(value) for name, value in more.items()}
        with ExitStack() as stack:
            file = stack.enter_context(out.open("ab")) if out else None
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=cwd,
                env=environment,
                stdin=stdin,
                stdout=file,
                stderr=file,
            )
        self.processes.append(process)
        return process

    def worker(self, **more: object) -> "subprocess.Popen[bytes]":
        """An embedded worker with simulated engines."""
        return self.start("-m", "tests.simulated.worker", more=more)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command of meet-transcriber, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "meet_transcriber", *words],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )

    def host(self, **more: object) -> "subprocess.Popen[bytes]":
        """A process as an API is one, with the same worker under its supervision."""
        return self.start("-m", "tests.simulated.host", more={"EMBEDDED_WORKER": "on", **more})

    def api(self, **more: object) -> httpx.Client:
        """The HTTP API as a process, once it answers; without a worker."""
        port = free_port()
        command = f"-m uvicorn src.api.main:app --host 127.0.0.1 --port {port}"
        self.start(*command.split(), more=more)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_SECONDS)
        self.clients.append(client)
        wait_for(lambda: _answers(client))
        return client

    def celery(self, name: str = "one", *options: str, **more: object) -> "subprocess.Popen[bytes]":
        """A Celery worker with simulated engines."""
        command = "-m celery -A tests.simulated.celery_app worker --loglevel=INFO --concurrency=1"
        return self.start(*command.split(), "-n", f"{name}@%h", *options, more=more)

    def submit(self, seconds: int = 4, **options: Any) -> str:
        """Send a recording with as many parts as seconds; returns the job's id."""
        upload = self.service.submissions.start_upload("standup.wav")
        upload.write(recording(seconds))
        return upload.finish(SubmissionRequest(Options(**options))).id

    def job(self, job_id: str) -> Job:
        """The record as it is now."""
        return self.service.queries.job(job_id)

    def ended(self, job_id: str, seconds: float = WAIT_SECONDS) -> Job:
        """Wait for the end of a job."""
        wait_for(lambda: self.job(job_id).ended, seconds)
        return self.job(job_id)

    def begun(self, kind: str = "recognize", times: int = 1) -> int:
        """Wait until an engine began a task for so many times; returns who did so last."""
        lines = wait_for(
            lambda: found if len(found := self.lines(f"{kind} begins")) >= times else []
        )
        return int(lines[-1].split()[0])

    def lines(self, text: str) -> list[str]:
        """What the engines wrote about something."""
        return [line for line in self.log.read_text().splitlines() if text in line]

    def workers(self) -> Sequence[WorkerInfo]:
        """The workers that were heard of lately."""
        return self.service.context.jobs.workers(time.time())

    def words(self, job_id: str) -> Sequence[str]:
        """The words of the transcript."""
        transcript = self.service.queries.transcript(job_id)[1]
        return [word.text for segment in transcript.segments for word in segment.words]


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def end(process: "subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> float:
    """Send a signal and wait for the end; returns how many seconds it took."""
    started = time.monotonic()
    process.send_signal(how)
    process.wait(WAIT_SECONDS)
    return time.monotonic() - started
