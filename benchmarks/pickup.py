"""
Time from the submission of a recording over HTTP until a worker begins.

    python -m benchmarks.pickup [--jobs 60]

From submission to claim, both by the job's record; with the embedded worker on SQLite, and with
Celery on Redis. The worker is idle, and the recording has no speech, so that no model runs.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from benchmarks.whisper.recording import models_dir
from tests.redis_server import RedisServer, free_port
from tests.simulated.system import System, recording, wait_for

_TWENTY = 20


@contextmanager
def served(
    folder: Path, worker: str = "auto", log: Path | None = None, **variables: object
) -> Iterator[tuple[System, httpx.Client]]:
    """
    Run an installation on a free port; `worker` is its EMBEDDED_WORKER.

    It logs errors only, unless its lines go to the file `log`.
    """
    port = free_port()
    engines = {"MODELS_DIR": models_dir(), "DIARIZATION_ENGINE": "onnx"}
    level = "INFO" if log else "ERROR"
    with System(folder, LOG_LEVEL=level, API_PORT=port, **engines, **variables) as system:
        more = {"EMBEDDED_WORKER": worker}
        system.start("-m", "meet_transcriber", "serve", more=more, out=log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_for(lambda: _is_up(client))
            yield system, client


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def _seconds(status: dict[str, Any], name: str) -> float:
    return datetime.fromisoformat(status[name]).timestamp()


def pickups(client: httpx.Client, jobs: int) -> list[float]:
    """Return the seconds from submission to claim of each job."""
    waits = []
    for _ in range(jobs):
        answer = client.post("/transcribe", files={"file": ("a.wav", recording(1))})
        path = answer.raise_for_status().headers["location"]
        status = _ended(client, path)
        waits.append(_seconds(status, "started_at") - _seconds(status, "created_at"))
    return waits


def _ended(client: httpx.Client, path: str) -> dict[str, Any]:
    """Wait for a job to end and return its status."""

    def status() -> dict[str, Any]:
        return dict(client.get(path, params={"transcript": "false"}).json())

    wait_for(lambda: status()["status"] in {"completed", "failed"})
    return status()


def report(name: str, waits: list[float]) -> None:
    """Return a line with the median and the 95th percentile."""
    high = quantiles(waits, n=_TWENTY)[-1]
    print(
        f"{name:9s} {len(waits)} jobs: median {1000 * median(waits):5.0f} ms, "
        f"p95 {1000 * high:5.0f} ms",
        flush=True,
    )


def main() -> None:
    """Print a line for each queue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=60)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as name:
        with served(Path(name, "embedded")) as (system, client):
            wait_for(lambda: [w for w in system.workers() if w.state == "ready"])
            report("embedded", pickups(client, jobs))
        with (
            RedisServer(Path(name, "redis")) as server,
            served(Path(name, "celery"), REDIS_URL=server.url) as (system, client),
        ):
            system.celery("one", "--loglevel=ERROR")
            wait_for(lambda: [w for w in system.workers() if w.state == "ready"])
            time.sleep(1)
            report("celery", pickups(client, jobs))


if __name__ == "__main__":
    main()
