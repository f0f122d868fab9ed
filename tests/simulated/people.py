"""Meetings of people who are tones, and a service in this process that knows them apart."""

import io
import threading
import wave
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.bootstrap.auth import AuthContext, build_auth
from meet_transcriber.core.auth import SCOPES
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.pipeline import Chosen
from meet_transcriber.service.task_runner import Engines, TaskRunner
from tests.simulated.engines import EverySecond, SimulatedRecognizer, TonalDiarizer
from tests.simulated.system import System

ANN, BOB, CAY, ALMOST_ANN = 300, 500, 700, 320
"""Pitches of people, in Hz; somebody who might be Ann."""


def meeting(*turns: tuple[int, int], rate_hz: int = 16_000, channels: int = 1) -> bytes:
    """A WAV file of people, by pitch, who speak for so many seconds one after the other."""
    tones = [_tone(pitch, seconds, rate_hz) for pitch, seconds in turns]
    return _wav(np.stack([np.concatenate(tones)] * channels, axis=1), rate_hz)


def call(*pitches: int, seconds: int = 6) -> bytes:
    """A WAV file with a channel for each of these people, who all speak at once."""
    return _wav(np.stack([_tone(pitch, seconds, 16_000) for pitch in pitches], axis=1), 16_000)


def _tone(pitch: int, seconds: int, rate_hz: int) -> npt.NDArray[np.float64]:
    return 0.3 * np.sin(2 * np.pi * pitch * np.arange(rate_hz * seconds) / rate_hz)


def _wav(samples: npt.NDArray[np.float64], rate_hz: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((samples.shape[1], 2, rate_hz, 0, "NONE", ""))
        writer.writeframes((samples * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def hearing() -> Engines:
    """Engines that know people by their pitch."""
    recognizer, diarizer, detector = SimulatedRecognizer(), TonalDiarizer(), EverySecond()
    return Engines(lambda: Chosen(recognizer), lambda: Chosen(diarizer), lambda: detector)


@dataclass
class Town:
    """A service that remembers voices, whoever its tenants are."""

    system: System
    client: TestClient
    guard: AuthContext
    folder: Path
    keys: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        tenant: str = "acme",
        headers: dict[str, str] | None = None,
        **request: Any,
    ) -> Any:
        """A request with a key of that tenant; the answer."""
        if tenant not in self.keys:
            self.keys[tenant] = self.guard.keyring.create(tenant, tenant, SCOPES, None).token
        headers = {"Authorization": f"Bearer {self.keys[tenant]}", **(headers or {})}
        return self.client.request(method, path, headers=headers, **request)

    def met(self, *turns: tuple[int, int], tenant: str = "acme") -> str:
        """The id of a finished meeting."""
        files = {"file": ("standup.wav", meeting(*turns))}
        job_id: str = self.ask("POST", "/transcribe", tenant, files=files).json()["job_id"]
        self.work()
        return job_id

    def introduce(self, job_id: str, speaker: str, name: str, tenant: str = "acme") -> Any:
        """This is Ann, remember her; the answer."""
        wish = {"job_id": job_id, "speaker": speaker, "name": name, "consent": f"{name} said yes"}
        return self.ask("POST", "/voices", tenant, json=wish)

    def named(self, job_id: str, tenant: str = "acme") -> dict[str, str]:
        """The names in a finished meeting."""
        names: dict[str, str] = self.ask("GET", f"/transcribe/{job_id}", tenant).json()["names"]
        return names

    def speakers(self, job_id: str, tenant: str = "acme") -> list[dict[str, Any]]:
        """Who speaks, and whom they sound like."""
        answer = self.ask("GET", f"/transcribe/{job_id}/speakers", tenant)
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    def work(self) -> None:
        """Do all that there is to do."""
        worker = TaskRunner(self.system.service.context, hearing(), "w", QUEUES, threading.Event())
        while worker.work():
            pass

    def objects(self) -> dict[str, bytes]:
        """Everything in the MediaStore."""
        media = self.system.service.context.media
        return {key: media.get(key) for top in ("jobs", "voices") for key in media.keys(top)}


@contextmanager
def town(folder: Path, **variables: object) -> Iterator[Town]:
    """A service with VOICE_PROFILES=on on `folder`, unless the variables say otherwise."""
    wanted = {"VOICE_PROFILES": "on", "AUTH_MODE": "required", **variables}
    with ExitStack() as stack:
        system = stack.enter_context(System(folder, **wanted))
        known = build_auth(system.settings, system.service.context.jobs)
        app = create_app(system.service, system.settings, guard=known)
        client = stack.enter_context(TestClient(app, raise_server_exceptions=False))
        yield Town(system, client, known, folder)
