"""The command `serve`, and the application that uvicorn loads by its name."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.api.serving import ROOT, Server

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
