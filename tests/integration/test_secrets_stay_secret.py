"""With every secret set, nothing that a process says or keeps has one in it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.api.serving import Server, eventually
from tests.integration.hearing import TINY
from tests.simulated.system import recording
from tests.unit.outbound.sites import Site
from tests.unit.settings.canaries import CLOSED_PORT, environment, leaked


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meet_transcriber", *words],
        env={**os.environ, **TINY, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_doctor_names_the_secrets_that_are_set_and_shows_none() -> None:
    done = run("doctor", LOG_LEVEL="DEBUG", **environment())
    assert leaked(done.stdout + done.stderr) == []
    assert "HUGGINGFACE_ACCESS_TOKEN, REDIS_URL, REDIS_PASSWORD" in done.stdout


def test_doctor_knows_the_guides_placeholder() -> None:
    done = run("doctor", HUGGINGFACE_ACCESS_TOKEN="hf_your_token_here")
    assert "HUGGINGFACE_ACCESS_TOKEN is the guide's placeholder" in done.stdout


@pytest.mark.parametrize("words", ["queue", "health"])
def test_a_redis_that_is_not_there_is_said_without_its_password(words: str) -> None:
    done = run(words, LOG_LEVEL="DEBUG", **environment())
    assert done.returncode != 0
    assert "Redis" in done.stderr
    assert leaked(done.stdout + done.stderr) == []


@pytest.mark.parametrize("words", ["worker", "serve --port 0"])
def test_who_waits_for_redis_does_not_say_its_password(tmp_path: Path, words: str) -> None:
    log = tmp_path / "log"
    said = {**os.environ, **TINY, **environment(), "LOG_LEVEL": "DEBUG"}
    command = [sys.executable, "-m", "meet_transcriber", *words.split()]
    with log.open("wb") as out, subprocess.Popen(command, env=said, stdout=out, stderr=out) as it:
        try:
            assert eventually(lambda: f"127.0.0.1:{CLOSED_PORT}" in log.read_text())
        finally:
            it.kill()
    assert leaked(log.read_text()) == []


@pytest.fixture
def hook() -> Iterator[Site]:
    """Who is told of jobs."""
    site = Site()
    site.answers["/hook"] = lambda request: request.send(b"")
    yield site
    site.close()


@pytest.fixture
def server(tmp_path: Path, hook: Site) -> Iterator[Server]:
    """An API with its worker on this machine."""
    said = {"DATA_DIR": str(tmp_path), "LOG_LEVEL": "DEBUG", "OUTBOUND_ALLOW": "127.0.0.1"}
    env = {**TINY, **environment("redis_url"), **said}
    server = Server("meet_transcriber", "serve", "--port", "0", env=env)
    yield server
    server.end()


def submitted(server: Server, hook: Site) -> str:
    """The address of a new job, of which the hook will hear."""
    files, data = {"file": ("m.wav", recording(2))}, {"webhook_url": hook.url("/hook")}
    job = httpx.post(f"{server.url}/transcribe", files=files, data=data).json()
    return f"{server.url}/transcribe/{job['job_id']}"


def test_a_job_leaves_no_secret_behind(server: Server, hook: Site, tmp_path: Path) -> None:
    job = submitted(server, hook)
    assert eventually(lambda: bool(hook.seen))
    answers = httpx.get(job).text + httpx.get(f"{server.url}/openapi.json").text
    kept = [file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()]
    server.process.terminate()
    assert server.process.stderr is not None
    logged = server.process.stderr.read()
    assert job.rpartition("/")[2] in "".join(kept)
    assert "webhook-signature" in hook.seen[0].headers
    assert leaked(answers + logged + "".join(kept) + str(hook.seen)) == []
