"""A Docker engine as these tests use it: images, containers and a compose project."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.redis_server import free_port

ROOT = Path(__file__).parents[2]
SAFE = (
    "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges", "--init",
)  # fmt: skip
MODEL = "tiny.en"
MODELS = (MODEL, "segmentation-3.0", "campplus")
"""What SETTINGS name: Whisper, and what tells speakers apart."""
SETTINGS = {"WHISPER_MODEL": MODEL, "DIARIZATION_ENGINE": "onnx"}
ALONE = {"HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1"}
"""No weights are asked for anywhere but on disk."""
WEIGHTS = ROOT / ".cache" / "models"
"""Where `make test-deploy` has put them."""
PATIENCE_SECONDS = 240.0


def docker(*arguments: str, cwd: Path = ROOT, **environment: str) -> str:
    """What a docker command prints; it must succeed."""
    done = subprocess.run(
        ["docker", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def weights(model: str = MODEL) -> Path:
    """The folder of a model of these tests."""
    folder = WEIGHTS / model
    assert folder.is_dir(), f"run: MODELS_DIR={WEIGHTS} meet-transcriber models pull {model}"
    return folder


def build(tag: str, *arguments: str) -> str:
    """Build an image of the repository; returns its tag."""
    docker("build", "-q", "-t", tag, *arguments, ".", DOCKER_BUILDKIT="1")
    return tag


def layers(image: str) -> dict[str, int]:
    """What made each of our own layers -> its bytes; those of the base are left out."""
    base = docker("image", "inspect", _base(), "--format", "{{len .RootFS.Layers}}")
    own = docker("history", image, "--human=false", "--no-trunc", "--format", "{{json .}}")
    made = [json.loads(line) for line in own.splitlines()]
    sized = [layer for layer in reversed(made) if int(layer["Size"])][int(base) :]
    return {layer["CreatedBy"][:60]: int(layer["Size"]) for layer in sized}


def _base() -> str:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("ARG BASE_IMAGE="))


def until(what: str, look: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """What `look` returns once that is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"Waited {seconds:.0f} s in vain for {what}.")


def answers(address: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


class Stack:
    """The compose project of a copy of compose.yaml and deploy/, as a checkout would have it."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.port, self.tls_port, self.api_port = free_port(), free_port(), free_port()
        shutil.copy(ROOT / "compose.yaml", folder)
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        ports = {
            "HTTP_PORT": f"127.0.0.1:{self.port}",
            "HTTPS_PORT": f"127.0.0.1:{self.tls_port}",
            "API_PORT": str(self.api_port),
        }
        lines = [f"{name}={value}\n" for name, value in {**settings, **ports}.items()]
        (folder / ".env").write_text("".join(lines))

    def set(self, name: str, value: str) -> None:
        """Write another value of a setting to .env."""
        with (self.folder / ".env").open("a") as file:
            file.write(f"{name}={value}\n")

    def compose(self, *arguments: str) -> str:
        """What `docker compose ...` prints."""
        return docker("compose", *arguments, cwd=self.folder)

    def up(self) -> None:
        """Start everything and wait until it is healthy."""
        self.compose("up", "-d", "--no-build", "--wait", "--wait-timeout", "240")

    def container(self, service: str) -> dict[str, Any]:
        """What the engine knows about a service's container."""
        found: dict[str, Any] = json.loads(docker("inspect", self.identity(service)))[0]
        return found

    def identity(self, service: str) -> str:
        """The id of a service's container, running or not."""
        return self.compose("ps", "-aq", service)

    def client(self, key: str = "", port: int | None = None) -> httpx.Client:
        """An HTTP client of the proxy, or of another port of the project."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        address = f"http://127.0.0.1:{port or self.port}"
        return httpx.Client(base_url=address, headers=headers, timeout=60)


def submit(client: httpx.Client, recording: Path) -> str:
    """Send a recording; returns its job's path."""
    with recording.open("rb") as file:
        answer = client.post("/transcribe", files={"file": (recording.name, file)})
    assert answer.status_code == 202, answer.text
    return f"/transcribe/{answer.json()['job_id']}"


def finished(client: httpx.Client, job: str) -> dict[str, Any]:
    """A job once it has ended."""

    def look() -> dict[str, Any] | None:
        body: dict[str, Any] = client.get(job).json()
        return body if body["status"] in {"completed", "failed", "cancelled"} else None

    ended: dict[str, Any] = until(f"the end of {job}", look)
    return ended
