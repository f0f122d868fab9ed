"""Images that several modules use, each built once."""

import subprocess

import pytest

from tests.deploy.engine import build


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
def gpu_image(docker_engine: None) -> str:
    """The image with cuBLAS; that it builds is a test by itself."""
    return build("meet-transcriber-gpu", "--target", "worker-gpu")
