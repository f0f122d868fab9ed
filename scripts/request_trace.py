"""Counts the modules that two requests enter in the API's process before their answer starts.

The API is the real one with its embedded worker, SQLite and a folder; the recording is the
bundled sample. Each request is sent `REPEATS` times and the smallest count is taken, because the
maintenance thread runs beside it and the first request imports modules.
"""

import importlib
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Any

from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PACKAGE = "meet_transcriber"
MODELS = Path(__file__).parents[1] / ".cache" / "models"
KEY = "a-key-for-the-trace-of-requests-0123456789"
REPEATS = 7
DEADLINE_SECONDS = 300.0


class CallTrace:
    """Counts modules of the package that are entered, in every thread started after it."""

    def __init__(self, package: str = PACKAGE) -> None:
        self._package = package
        self._active = False
        self._frames: set[FrameType] = set()
        self.modules: set[str] = set()
        self.calls = 0
        """Calls whose direct caller is in another module of the package."""
        threading.setprofile(self._profile)

    def close(self) -> None:
        """Threads that start from now on are not traced."""
        threading.setprofile(None)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count anew, in here."""
        self.modules, self.calls, self._active = set(), 0, True
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            self._active = False
            self._frames.clear()

    def until_the_answer(self, app: ASGIApp) -> ASGIApp:
        """`app`, whose calls are no longer counted once its answer starts."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            async def stop_and_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._active = False
                await send(message)

            await app(scope, receive, stop_and_send)

        return traced

    def _profile(self, frame: FrameType, event: str, _argument: Any) -> None:
        # A generator or coroutine has a "call" event each time it goes on; its frame stays.
        if not self._active or event != "call" or frame in self._frames:
            return
        module = self._module(frame)
        if module is None:
            return
        self._frames.add(frame)
        self.modules.add(module)
        caller = None if frame.f_back is None else self._module(frame.f_back)
        self.calls += caller not in {None, module}

    def _module(self, frame: FrameType) -> str | None:
        name: str = frame.f_globals.get("__name__", "")
        return name if name.split(".", maxsplit=1)[0] == self._package else None


def rows() -> list[tuple[str, str]]:
    """What `POST /transcribe` and `PATCH .../segments/0` enter, as rows of a table."""
    found = []
    for mode in ("required", "loopback"):  # the second is that of `serve` and `demo`
        # Each in a new process, as the app of a process is made when it is imported.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            found += process.submit(_rows_of, mode).result()
    return found


def _rows_of(auth_mode: str) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory(prefix="request-trace-") as folder:
        os.environ |= {
            "API_KEYS": f"trace:{KEY}:submit+read",
            "AUTH_MODE": auth_mode,
            "DATA_DIR": folder,
            "LOG_LEVEL": "ERROR",
            "MODELS_DIR": str(MODELS),
            "RATE_LIMIT": "0",
            "RATE_LIMIT_SUBMIT": "0",
            "WHISPER_MODEL": "tiny.en",
        }
        trace = CallTrace()
        try:
            app = importlib.import_module(f"{PACKAGE}.api.main").app
            address = ("127.0.0.1", 50000)
            traced = trace.until_the_answer(app)
            with TestClient(traced, base_url="http://127.0.0.1", client=address) as client:
                client.headers["Authorization"] = f"Bearer {KEY}"
                found = _requests(trace, client)
                return [(f"{name}, {auth_mode}", counts) for name, counts in found]
        finally:
            trace.close()


def _requests(trace: CallTrace, client: TestClient) -> list[tuple[str, str]]:
    sample = (files(PACKAGE) / "samples" / "standup.ogg").read_bytes()
    job = _submit(client, sample)
    _wait(client, job)
    submit = _smallest(trace, lambda: _submit(client, sample))
    edit = _smallest(trace, lambda: _edit(client, job))
    return [("POST /transcribe", submit), ("PATCH .../segments/0", edit)]


def _smallest(trace: CallTrace, request: Callable[[], object]) -> str:
    counts = []
    for _ in range(REPEATS):
        with trace.counting():
            request()
        counts.append((len(trace.modules), trace.calls))
    modules, calls = (min(column) for column in zip(*counts, strict=True))
    return f"{modules} modules, {calls} calls between them"


def _submit(client: TestClient, recording: bytes) -> str:
    answer = client.post("/transcribe", files={"file": ("standup.ogg", recording)})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def _edit(client: TestClient, job: str) -> None:
    path = f"/transcribe/{job}/segments/0"
    answer = client.patch(path, json={"text": f"Good morning at {time.monotonic_ns()}."})
    assert answer.status_code == 200, answer.text


def _wait(client: TestClient, job: str) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while (state := client.get(f"/transcribe/{job}").json())["status"] != "completed":
        assert state["status"] in {"pending", "processing"}, state
        assert time.monotonic() < end, "the sample took too long"
        time.sleep(0.5)
