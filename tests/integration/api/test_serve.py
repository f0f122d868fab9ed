"""The command `serve`, and the application that uvicorn loads by its name."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.api.serving import PATIENCE_SECONDS, ROOT, Server
from tests.unit.api.service_fixture import complete_job, make_service

HEAVY = {"ctranslate2", "faster_whisper", "onnxruntime", "opencc", "tokenizers", "torch"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path / "data"), "EMBEDDED_WORKER": "off"}


@pytest.fixture
def server(env: dict[str, str]) -> Iterator[Server]:
    server = Server("meet_transcriber", "serve", "--port", "0", env=env)
    yield server
    server.end()


def run(*command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )


def test_serve_prints_its_address_and_accepts_recordings(server: Server) -> None:
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    bad = httpx.post(f"{server.url}/transcribe", files={"file": ("a.txt", b"no sound")})
    assert bad.json()["code"] == "unsupported_format"
    assert httpx.get(f"{server.url}/health/ready").status_code == 503


def test_the_server_stops_at_once_despite_open_streams(server: Server) -> None:
    sound = (ROOT / "src/meet_transcriber/samples/standup.ogg").read_bytes()
    job = httpx.post(f"{server.url}/transcribe", files={"file": ("standup.ogg", sound)}).json()
    with httpx.stream("GET", server.url + job["links"]["events"]) as answer:
        lines = answer.iter_lines()
        assert any(line.startswith("id: ") for line in lines)
        server.process.terminate()
        assert list(lines)[-1:] in ([""], [])
    assert server.process.wait(8) in {0, -15}


def test_a_port_in_use_is_reported(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("-m", "meet_transcriber", "serve", "--port", port, env=env)
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_guides_own_name_leads_to_the_application(env: dict[str, str]) -> None:
    code = f"import sys, src.api.main as m; print(m.app.title, sorted({HEAVY} & set(sys.modules)))"
    done = run("-W", "error", "-c", code, env=env)
    assert done.stdout == "Meet Transcriber []\n", done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("K_SERVICE", "x"),
        ("API_PORT", "many"),
        ("MEDIA_URL", "redis"),
        ("WEBHOOK_SECRET", "short"),
        ("API_KEYS", "short"),
        ("API_KEYS_FILE", "/dev/null/keys"),
        ("DATA_DIR", "/dev/null/data"),
    ],
)
def test_settings_that_make_no_sense_end_it_with_a_sentence(
    env: dict[str, str], name: str, value: str
) -> None:
    done = run("-c", "import meet_transcriber.api.main", env={**env, name: value})
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that is read without end")
def test_the_server_stops_while_threads_compute(env: dict[str, str], tmp_path: Path) -> None:
    service = make_service(tmp_path / "data")
    job = complete_job(service)
    endless = tmp_path / "data" / "media" / job.objects["transcript.json"]
    endless.unlink()
    os.mkfifo(endless)
    server = Server("meet_transcriber", "serve", "--port", "0", env=env)
    try:
        with ThreadPoolExecutor(1) as client, writer(endless) as opened:
            client.submit(httpx.get, f"{server.url}/transcribe/{job.id}/download", timeout=60)
            assert opened.wait(PATIENCE_SECONDS)
            server.process.terminate()
            assert server.process.wait(20) in {0, -15}
    finally:
        server.process.kill()
        server.end()


@contextmanager
def writer(fifo: Path) -> Iterator[threading.Event]:
    """Hold a FIFO open for writing; the event tells that it is being read."""
    opened, files = threading.Event(), []

    def hold() -> None:
        files.append(os.open(fifo, os.O_WRONLY))
        opened.set()

    threading.Thread(target=hold, daemon=True).start()
    yield opened
    for each in files:
        os.close(each)
