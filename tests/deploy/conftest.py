"""Images that several modules use, each built once, and who does what at the same time."""

import subprocess

import pytest

from tests.deploy.engine import build


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    One process does all that needs the engine, so that an image is built once and nobody is in
    the way of a stack; others do the rest, a module at a time.
    """
    engine = {item.path for item in items if "docker_engine" in getattr(item, "fixturenames", ())}
    for item in items:
        group = "docker" if item.path in engine else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.path not in engine)


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
