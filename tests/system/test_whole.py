"""The service with the guide's own commands and Whisper base, nothing simulated."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.hearing import BASE, NO_HUB, NO_INDEX
from tests.redis_server import RedisServer, free_port
from tests.simulated.system import ROOT, recording, wait_for
from tests.system.media_servers import aws_environment, moto_server

BIN = Path(sys.executable).parent
CELERY = "celery -A src.worker.celery_app worker --loglevel=INFO --concurrency=1"


class Installation:
    """An API and workers as processes of their own, each in a folder of its own."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.variables = {"LEASE_SECONDS": "10", "AUTH_MODE": "open", **variables}
        self.port = free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: str, **more: str) -> "subprocess.Popen[bytes]":
        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "DATA_DIR": str(home), **self.variables, **more}
        program, *arguments = command.split()
        with (home / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / program), *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def api(self, **more: str) -> "subprocess.Popen[bytes]":
        command = f"uvicorn src.api.main:app --host 127.0.0.1 --port {self.port}"
        process = self.start("api", command, **more)
        wait_for(self.is_up)
        return process

    def is_up(self) -> bool:
        try:
            return self.http.get("/health").is_success
        except httpx.TransportError:
            return False

    def submit(self, data: bytes, **options: str) -> str:
        answer = self.http.post("/transcribe", files={"file": ("m.wav", data)}, data=options)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def status(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/transcribe/{job_id}").json())

    def ended(self, job_id: str) -> dict[str, Any]:
        wait_for(lambda: self.status(job_id)["status"] in {"completed", "failed"}, seconds=120)
        return self.status(job_id)

    def close(self) -> None:
        self.http.close()
        for process in self.processes:
            process.terminate()  # who is killed leaves uvicorn's other processes behind
            process.wait(60)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def spoken() -> bytes:
    """Ten seconds of the sample: a file cut in the middle is a recording too."""
    data = (files("meet_transcriber.samples") / "standup.ogg").read_bytes()
    return data[: len(data) // 12]


def installed(folder: Path, **variables: str) -> Iterator[Installation]:
    installation = Installation(folder, **variables)
    yield installation
    installation.close()


@pytest.fixture
def spread(tmp_path: Path, redis: RedisServer) -> Iterator[Installation]:
    yield from installed(tmp_path, REDIS_URL=redis.url, DIARIZATION_ENGINE="onnx")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Installation]:
    yield from installed(tmp_path, **BASE)


def test_an_api_and_a_worker_share_only_redis(spread: Installation, spoken: bytes) -> None:
    spread.variables |= BASE
    spread.api()
    spread.start("worker", CELERY)
    done = spread.ended(spread.submit(spoken))
    assert done["status"] == "completed", done["error"]
    assert "morning" in json.dumps(done["transcript"]).lower()
    assert {path.name for path in (spread.folder / "worker").iterdir()} <= {"log"}


def test_without_weights_the_job_fails_and_names_the_command(
    spread: Installation, spoken: bytes, tmp_path: Path
) -> None:
    spread.variables |= {**NO_HUB, **NO_INDEX, "MODELS_DIR": str(tmp_path / "models")}
    spread.api()
    spread.start("worker", CELERY)
    failed = spread.ended(spread.submit(spoken))
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "engine_unavailable"
    message = failed["error"]["message"]
    for place in (str(tmp_path / "models"), NO_HUB["HF_ENDPOINT"], "the package index"):
        assert place in message
    assert "Copy its folder" in message


def test_an_api_killed_right_after_its_answer_loses_nothing(
    spread: Installation, spoken: bytes
) -> None:
    spread.variables |= BASE
    api = spread.api()
    job_id = spread.submit(spoken)
    api.kill()
    api.wait()
    spread.start("worker", CELERY)
    spread.api()
    assert spread.ended(job_id)["status"] == "completed"


def test_a_killed_embedded_service_resumes_after_a_restart(
    alone: Installation, spoken: bytes
) -> None:
    api = alone.api()
    job_id = alone.submit(spoken)
    api.send_signal(signal.SIGKILL)
    api.wait()
    alone.api()
    done = alone.ended(job_id)
    assert done["status"] == "completed", done["error"]
    assert done["run"] == 1


def test_several_processes_of_one_api_have_one_worker(alone: Installation, spoken: bytes) -> None:
    alone.start("api", f"uvicorn src.api.main:app --host 127.0.0.1 --port {alone.port} --workers 2")
    wait_for(alone.is_up)
    jobs = [alone.submit(spoken) for _ in range(3)]
    assert {alone.ended(job_id)["status"] for job_id in jobs} == {"completed"}
    workers = alone.http.get("/health/ready").json()["workers"]
    assert len(workers) == 1


def test_recordings_in_an_object_store(tmp_path: Path, redis: RedisServer, spoken: bytes) -> None:
    with aws_environment(), moto_server(tmp_path) as endpoint:
        httpx.put(f"{endpoint}/meetings").raise_for_status()
        places = {"MEDIA_URL": "s3://meetings/here", "AWS_ENDPOINT_URL": endpoint}
        for spread in installed(tmp_path, REDIS_URL=redis.url, **places, **BASE):
            spread.api()
            spread.start("worker", CELERY)
            job_id = spread.submit(spoken)
            assert spread.ended(job_id)["status"] == "completed"
            assert spread.http.get(f"/transcribe/{job_id}/audio").content == spoken


def test_a_large_upload_is_not_copied_and_needs_little_memory(alone: Installation) -> None:
    alone.variables |= {"EMBEDDED_WORKER": "off", "MAX_UPLOAD_SIZE_MB": "600"}
    alone.variables |= {"MAX_AUDIO_DURATION_SECONDS": "20000"}
    api = alone.api()
    alone.submit(recording(1))
    before = _peak_bytes(api.pid)
    sound = recording(16_000)  # 512 MB
    alone.submit(sound)
    assert _peak_bytes(api.pid) - before < 32 << 20
    stored = sum(file.stat().st_size for file in alone.folder.rglob("*") if file.is_file())
    assert stored < len(sound) + (2 << 20)


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_cloud_run_without_redis_refuses_to_start(alone: Installation) -> None:
    command = f"uvicorn src.api.main:app --port {alone.port}"
    process = alone.start("api", command, K_SERVICE="meet-transcriber")
    assert process.wait(60) != 0
    log = (alone.folder / "api" / "log").read_text()
    assert "set REDIS_URL" in log
    assert "Traceback" not in log
