"""Every start command of a cloud, in its environment, from this installation, on a real Redis."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.deploy.clouds.artifacts import ROOT, Start, starts
from tests.deploy.engine import ALONE, SETTINGS, weights
from tests.redis_server import RedisServer, free_port

BIN = Path(sys.executable).parent
WAIT_SECONDS = 90.0
ALL = list(starts())
WORKER = ("celery", "-A", "src.worker.celery_app", "worker", "--loglevel=INFO", "--concurrency=1")
CLOSED = {"API_HOST": "127.0.0.1", "AUTH_MODE": "required"}
# What is another here; API_HOST because tests listen on this machine alone.
HERE = {"API_HOST", "DATA_DIR", "TMPDIR", "MEDIA_URL", "REDIS_URL", "WHISPER_DEVICE"}


def _listening(start: Start) -> bool:
    return start.command[-1] == "serve"


def _id(start: Start) -> str:
    return start.id


def _workers() -> list[Start]:
    """One of those that differ in nothing but what is another here."""
    alike = {
        tuple(sorted((k, v) for k, v in x.environment.items() if v and k not in HERE)): x
        for x in ALL
        if x.command == WORKER
    }
    return list(alike.values())


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), password="theirs") as server:
        yield server


@contextmanager
def _started(start: Start, redis: RedisServer, folder: Path) -> Iterator[dict[str, str]]:
    """The command, running; its environment is what a shell beside it would have."""
    given = {k: v for k, v in start.environment.items() if v is not None and k not in HERE}
    ours = {"PATH": f"{BIN}:{os.environ['PATH']}", "DATA_DIR": str(folder), "TMPDIR": str(folder)}
    with_redis = start.environment.get("EMBEDDED_WORKER") != "on"
    if with_redis:
        port = f"127.0.0.1:{redis.port}/0"
        ours |= {"REDIS_URL": f"redis://{port}", "REDIS_PASSWORD": "theirs"}
        ours |= {"MEDIA_URL": f"file://{folder}/media"}
    ours["MODELS_DIR"] = str(weights().parent)
    environment = given | ours | SETTINGS | ALONE | CLOSED
    environment["PORT"] = environment.get("PORT", str(free_port()))
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(start.command, cwd=ROOT, env=environment, stdout=said)
    try:
        yield environment
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def _until(answers: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + WAIT_SECONDS
    while not answers():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.1)


def _healthy(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/health", trust_env=False).json() == {"status": "ok"})
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("start", [x for x in ALL if _listening(x)], ids=_id)
def test_an_api_answers_on_the_port_that_it_is_told(
    start: Start, redis: RedisServer, tmp_path: Path
) -> None:
    with _started(start, redis, tmp_path) as environment:
        url = f"http://127.0.0.1:{environment['PORT']}"
        _until(lambda: _healthy(url), start.id)
        assert httpx.get(f"{url}/queue", trust_env=False).status_code == 401


@pytest.mark.parametrize("start", _workers(), ids=_id)
def test_a_worker_is_seen(start: Start, redis: RedisServer, tmp_path: Path) -> None:
    with _started(start, redis, tmp_path) as environment:
        asked = [str(BIN / "meet-transcriber"), "health"]

        def seen() -> bool:
            return subprocess.run(asked, cwd=ROOT, env=environment, check=False).returncode == 0

        _until(seen, start.id)


def test_the_queue_is_told_to_cloudwatch(redis: RedisServer, tmp_path: Path) -> None:
    (start,) = (x for x in ALL if "queue" in x.command)
    with _started(start, redis, tmp_path):
        said = tmp_path / "said"
        _until(lambda: said.read_bytes().endswith(b"\n"), start.id)
        assert '"celery_queue_length": 0}' in said.read_text()


def test_every_start_is_tried() -> None:
    tried = [x for x in ALL if _listening(x) or x.command == WORKER or "queue" in x.command]
    assert tried == ALL
    assert len(ALL) == 14
