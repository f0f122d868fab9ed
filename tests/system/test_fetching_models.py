"""Models are fetched from a hub that was away when the service began, and workers change over."""

from pathlib import Path
from typing import Any

import httpx

from tests.integration.api.serving import Server
from tests.model_hub import HELD_BYTES, ModelHub
from tests.redis_server import RedisServer
from tests.simulated.house import House, wait_for

SPOKEN = Path(__file__).parents[1] / "data" / "budget.ogg"
WORKER = "-m celery -A meet_transcriber.worker.celery_app worker --concurrency=1"
PATIENCE_SECONDS = 90.0


def environment(hub: ModelHub, **more: object) -> dict[str, object]:
    """Settings of a service whose callers are on this machine."""
    common = {"AUTH_MODE": "loopback", "PART_SECONDS": 300, "LOG_LEVEL": "ERROR"}
    return {**common, **hub.environment, **more}


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


def fetched(service: str, hub: ModelHub) -> None:
    """Ask for the models of a hub that comes up, and see them come in."""
    hub.start()
    asked = httpx.post(f"{service}/models/fetch", timeout=30)
    assert asked.raise_for_status().json()["models"]
    wait_for(lambda: _half(readiness(service)["engines"]["fetching"]), PATIENCE_SECONDS)
    hub.go_on.set()
    wait_for(
        lambda: any("faster-whisper" in each["engine"] for each in readiness(service)["workers"]),
        PATIENCE_SECONDS,
    )
    assert readiness(service)["engines"] == {
        "draft": False, "reasons": [], "fetchable": [], "fetching": None,
    }  # fmt: skip


def _half(fetching: dict[str, int] | None) -> bool:
    """Whether the weights are on their way."""
    if fetching is None or fetching["total"] < HELD_BYTES:
        return False
    return 0 < fetching["bytes"] < fetching["total"]


def test_an_embedded_worker_changes_over_from_drafts(tmp_path: Path, hub: ModelHub) -> None:
    more = environment(hub, DATA_DIR=tmp_path / "data")
    env = {name: str(value) for name, value in more.items()}
    server = Server("meet_transcriber", "serve", "--port", "0", env=env)
    try:
        wait_for(lambda: readiness(server.url)["engines"]["draft"], PATIENCE_SECONDS)
        assert transcribed(server.url)["engine"].startswith("pocketsphinx")
        fetched(server.url, hub)
        job = transcribed(server.url)
        assert (job["status"], job["engine"].split()[0]) == ("completed", "faster-whisper")
    finally:
        server.end()


def test_a_celery_worker_that_had_no_models_takes_work_up(tmp_path: Path, hub: ModelHub) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        more = environment(hub, REDIS_URL=redis.url)
        with House(tmp_path / "house", **more) as house:
            house.start(*WORKER.split())
            server = Server("meet_transcriber", "serve", "--port", "0", env=house.environment)
            try:
                wait_for(lambda: _trouble(server.url), PATIENCE_SECONDS)
                fetched(server.url, hub)
                job = transcribed(server.url)
                assert (job["status"], job["engine"].split()[0]) == ("completed", "faster-whisper")
            finally:
                server.end()


def _trouble(service: str) -> bool:
    """Whether a worker says that it lacks its engine."""
    return any("Cannot fetch" in each["problem"] for each in readiness(service)["workers"])
