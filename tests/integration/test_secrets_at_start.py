"""Secrets are read when a process starts; one that cannot read them ends with a sentence."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.api.serving import ROOT, Server
from tests.unit.outbound.sites import Site

STARTS = [
    "meet_transcriber serve --port 0",
    "meet_transcriber worker",
    "meet_transcriber doctor",
    "uvicorn src.api.main:app --port 0",
    "celery -A src.worker.celery_app worker",
]


@pytest.fixture
def vault() -> Iterator[Site]:
    site = Site()
    answer = json.dumps({"data": {"data": {"hf_token": "hf_kept"}}}).encode()
    site.answers["/v1/secret/data/meet-transcriber"] = lambda request: request.send(answer)
    yield site
    site.close()


def test_a_manager_is_asked_once_however_many_requests_come(vault: Site, tmp_path: Path) -> None:
    env = {
        "SECRETS_FROM": "vault",
        "VAULT_ADDR": vault.url(""),
        "VAULT_TOKEN": "theirs",
        "DATA_DIR": str(tmp_path),
        "EMBEDDED_WORKER": "off",
    }
    server = Server("meet_transcriber", "serve", "--port", "0", env=env)
    for _ in range(3):
        assert httpx.get(f"{server.url}/transcribe").status_code < 500
    server.end()
    assert len(vault.seen) == 1


@pytest.mark.parametrize("start", STARTS)
def test_a_process_that_cannot_read_them_ends_with_a_sentence(tmp_path: Path, start: str) -> None:
    (tmp_path / "hf_token").write_bytes(b"hf_broken\xff")
    done = subprocess.run(
        [sys.executable, "-m", *start.split()],
        cwd=ROOT,
        env={**os.environ, "SECRETS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert f"SECRETS_DIR {tmp_path} cannot be used: a file is not valid UTF-8" in said
    assert "Traceback" not in said
    assert "hf_broken" not in said
