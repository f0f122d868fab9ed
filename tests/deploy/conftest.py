"""Images that several modules use, each built once."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.engine import MODEL, ROOT, build


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first two speakers of a meeting, so that little is to be computed."""
    path = tmp_path_factory.mktemp("recording") / "start.ogg"
    whole = str(ROOT / "tests" / "data" / "budget.ogg")
    command = ["ffmpeg", "-v", "error", "-i", whole, "-t", "12", "-c", "copy", str(path)]
    subprocess.run(command, check=True)
    path.chmod(0o644)
    return path


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """An engine that answers; `.ci/docker/with` starts one where there is none."""
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"These tests need a Docker engine, and none answers: {done.stderr.strip()}")


@pytest.fixture(scope="session")
def image(docker_engine: None) -> str:
    """The image of `docker build -t meet-transcriber .`, as the guide has it."""
    return build("meet-transcriber")


@pytest.fixture(scope="session")
def api_image(docker_engine: None) -> str:
    """The image without an engine."""
    return build("meet-transcriber-api", "--target", "api")


@pytest.fixture(scope="session")
def baked_image(image: str) -> str:
    """The image with a model in it."""
    return build("meet-transcriber-baked", "--build-arg", f"MODEL={MODEL}")


@pytest.fixture(scope="session")
def gpu_image(docker_engine: None) -> str:
    """The image with cuBLAS; that it builds is a test by itself."""
    return build("meet-transcriber-gpu", "--target", "worker-gpu")
