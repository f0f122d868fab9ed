"""Keys from the command line, the first key on a terminal, and a service that asks for them."""

import json
import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.api.serving import ROOT, Server

STATIC = "static-secret-of-an-operator"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path / "data"), "EMBEDDED_WORKER": "off"}


@pytest.fixture
def run(env: dict[str, str]) -> Run:
    def command(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "meet_transcriber", *words],
            env={**os.environ, **env, **more},
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            check=False,
        )

    return command


@pytest.fixture
def server(env: dict[str, str]) -> Iterator[Server]:
    asked = {**env, "AUTH_MODE": "required", "API_KEYS": STATIC, "LOG_LEVEL": "DEBUG"}
    server = Server("meet_transcriber", "serve", "--port", "0", env=asked)
    yield server
    server.end()


def listed(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("keys", "list", "--json").stdout)
    return found


def test_a_key_is_created_used_rotated_and_revoked(run: Run, server: Server) -> None:
    made = run("keys", "create", "ci", "--tenant", "acme")
    token = made.stdout.strip()
    key_id = token.split("_")[1]
    assert (made.returncode, made.stdout.count("\n"), token in made.stderr) == (0, 1, False)
    assert run("list", "--server", server.url, MEET_TRANSCRIBER_KEY=token).returncode == 0
    new = run("keys", "rotate", key_id).stdout.strip()
    old = run("list", "--server", server.url, "--key", token)
    assert (old.returncode, "is unknown" in old.stderr) == (7, True)
    assert run("list", "--server", server.url, "--key", new).returncode == 0
    assert run("keys", "revoke", key_id).returncode == 0
    assert "was revoked" in run("list", "--server", server.url, "--key", new).stderr
    assert [row["tenant"] for row in listed(run) if row["id"] == key_id] == ["acme"]


def test_key_commands_are_audited(run: Run, env: dict[str, str]) -> None:
    token = run("keys", "create", "ci").stdout.strip()
    run("keys", "revoke", token.split("_")[1])
    text = (Path(env["DATA_DIR"]) / "audit.jsonl").read_text()
    assert [json.loads(line)["action"] for line in text.splitlines()] == [
        "create_key",
        "revoke_key",
    ]
    assert token not in text


def test_a_command_without_a_key_explains_how_to_set_one(run: Run, server: Server) -> None:
    done = run("list", "--server", server.url)
    assert done.returncode == 7
    assert "meet-transcriber keys create" in done.stderr
    assert "Traceback" not in done.stderr
    odd = run("list", "--server", server.url, "--key", "mt_é\n")
    assert (odd.returncode, "Traceback" in odd.stderr) == (2, False)


@pytest.mark.parametrize("name", ["a b", "../a", ""])
def test_an_invalid_name_creates_no_key(run: Run, name: str) -> None:
    assert run("keys", "create", name).returncode == 2
    assert run("keys", "create", "a", "--scopes", "root").returncode == 2
    assert listed(run) == []


def test_the_debug_log_contains_no_key(server: Server) -> None:
    for headers in ({"Authorization": f"Bearer {STATIC}"}, {"X-API-Key": STATIC + "x"}, {}):
        httpx.get(f"{server.url}/transcribe", headers=headers)
        httpx.post(f"{server.url}/session", headers=headers, json={"key": STATIC})
        httpx.post(f"{server.url}/v1/audio/transcriptions", headers=headers)
    server.process.terminate()
    assert server.process.stderr is not None
    assert STATIC not in server.process.stderr.read()


def test_serve_on_this_machine_asks_for_no_key_and_elsewhere_for_one(env: dict[str, str]) -> None:
    for host, status in (("127.0.0.1", 200), ("0.0.0.0", 401)):
        server = Server("meet_transcriber", "serve", "--port", "0", "--host", host, env=env)
        assert httpx.get(f"{server.url}/transcribe").status_code == status
        server.end()
    assert not (Path(env["DATA_DIR"]) / "admin.key").exists()  # nobody sat at a terminal


def on_a_terminal(env: dict[str, str]) -> str:
    """What a service that asks for keys shows to a person, from its start to its end."""
    main, terminal = pty.openpty()
    code = "import meet_transcriber.api.main as m, uvicorn; uvicorn.run(m.app, port=0)"
    asked = {**os.environ, **env, "AUTH_MODE": "required"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=terminal, stdout=terminal, cwd=ROOT, env=asked
    )
    os.close(terminal)
    text = b""
    with suppress(OSError):  # how the end of a terminal is told
        while data := os.read(main, 1000):
            text += data
            if b"running on" in text and process.poll() is None:
                process.terminate()
    os.close(main)
    process.wait(30)
    return text.decode()


def test_the_first_start_on_a_terminal_shows_an_administrators_key_once(
    env: dict[str, str], run: Run
) -> None:
    path = Path(env["DATA_DIR"]) / "admin.key"
    shown = on_a_terminal(env)
    token = path.read_text().strip()
    assert re.findall(r"mt_[0-9a-f]+_[A-Za-z0-9_-]+", shown) == [token]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [row["scopes"] for row in listed(run)] == [["submit", "read", "admin", "monitor"]]
    path.unlink()
    assert "mt_" not in on_a_terminal(env)
    assert not path.exists()
