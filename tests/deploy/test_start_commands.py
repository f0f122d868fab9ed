"""Every command that a platform starts us with, in the real image, with its environment."""

import re
import shlex
from collections.abc import Iterator
from configparser import ConfigParser
from typing import NamedTuple

import pytest
import yaml

from tests.deploy.engine import ALONE, ROOT, SAFE, SETTINGS, docker, until, weights

NETWORK = "meet-transcriber-start"


class Start(NamedTuple):
    """
    How a platform starts a process.

    Attributes:
        port: where the platform expects it, None for a worker.
        host: None for any address of the container.
    """

    platform: str
    command: tuple[str, ...]
    environment: dict[str, str]
    port: int | None
    host: str | None = None


def _composed(service: str) -> tuple[str, ...]:
    return tuple(
        yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][service]["command"]
    )


def _unit(name: str) -> tuple[str, ...]:
    """The command of a systemd unit; the image has the same programs elsewhere."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "deploy" / "systemd" / name)
    first, *rest = shlex.split(unit["Service"]["ExecStart"])
    return (first.rpartition("/")[2], *rest)


def _guide() -> Iterator[Start]:
    shell = "uvicorn src.api.main:app --host 0.0.0.0 --port $PORT"
    yield Start("guide: Render", ("sh", "-c", f"exec {shell}"), {"PORT": "8123"}, 8123)
    celery = "celery -A src.worker.celery_app worker --loglevel=INFO --concurrency=1"
    yield Start("guide: Kubernetes", tuple(celery.split()), {}, None)


STARTS = [
    *_guide(),
    Start("image", (), {}, 8000),
    Start("image with PORT", (), {"PORT": "8080"}, 8080),
    Start("compose: api", _composed("api"), {"API_HOST": "0.0.0.0"}, 8000),
    Start("compose: worker", _composed("worker"), {}, None),
    Start("systemd: api", _unit("meet-transcriber-api.service"), {}, 8000, "127.0.0.1"),
    Start("systemd: worker", _unit("meet-transcriber-worker.service"), {}, None),
]


@pytest.fixture(scope="module")
def redis(docker_engine: None) -> Iterator[str]:
    """A Redis that containers of the network know by this name."""
    image = re.search(r"image: (redis:\S+)", (ROOT / "compose.yaml").read_text())
    assert image is not None
    docker("network", "create", NETWORK)
    started = docker("run", "-d", "--network", NETWORK, "--network-alias", "redis", image[1],
                     "redis-server", "--protected-mode", "no")  # fmt: skip
    try:
        yield "redis://redis:6379/0"
    finally:
        docker("rm", "-f", started)
        docker("network", "rm", NETWORK)


@pytest.mark.parametrize("start", STARTS, ids=[start.platform for start in STARTS])
def test_a_start_command_serves(start: Start, image: str, redis: str) -> None:
    environment = {"REDIS_URL": redis, **SETTINGS, **ALONE, **start.environment}
    options = [f"--env={name}={value}" for name, value in environment.items()]
    options += ["--volume", f"{weights().parent}:/models:ro"]
    running = docker("run", "-d", "--network", NETWORK, *SAFE, *options, image, *start.command)
    try:
        if start.port is None:
            until("the worker's pong", lambda: _pong(running))
        else:
            until("/health", lambda: _healthy(running, start))
    except AssertionError:
        print(docker("logs", running))
        raise
    finally:
        docker("rm", "-f", running)


def _healthy(container: str, start: Start) -> bool:
    """Whether /health is answered at the address of the container, or where it must be."""
    host = repr(start.host) if start.host else "socket.gethostbyname(socket.gethostname())"
    program = (
        "import socket, urllib.request; "
        f"print(urllib.request.urlopen('http://%s:{start.port}/health' % {host}).read().decode())"
    )
    try:
        return docker("exec", container, "python", "-c", program) == '{"status":"ok"}'
    except AssertionError:
        return False


def _pong(container: str) -> bool:
    """Whether the guide's own question finds exactly this worker."""
    try:
        name = docker("exec", container, "hostname")
        ask = ("celery", "-A", "src.worker.celery_app", "inspect", "ping", "-d", f"celery@{name}")
        return "pong" in docker("exec", container, *ask)
    except AssertionError:
        return False
