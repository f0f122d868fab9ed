"""
Latency of `/health` while the embedded worker processes a job.

    python -m benchmarks.health [--seconds 20]

Whisper base and the diarizer onnx transcribe the bundled meeting three times on the same machine;
meanwhile a client requests `/health` every 20 ms, and for comparison before any work. Goal: p99 of
100 ms.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from statistics import median, quantiles

import httpx

from benchmarks.pickup import served
from tests.simulated.system import System, wait_for

_PAUSE_SECONDS = 0.02
_HUNDRED = 100


def answers(client: httpx.Client, seconds: float) -> Iterator[float]:
    """Return the seconds of each response."""
    until = time.perf_counter() + seconds
    while (started := time.perf_counter()) < until:
        client.get("/health").raise_for_status()
        yield time.perf_counter() - started
        time.sleep(_PAUSE_SECONDS)


def report(name: str, waits: list[float]) -> None:
    """Return a line with the median, the 99th percentile and the maximum."""
    high = quantiles(waits, n=_HUNDRED)[-1]
    print(
        f"{name:8s} {len(waits)} answers: median {1000 * median(waits):5.1f} ms, "
        f"p99 {1000 * high:5.1f} ms, longest {1000 * max(waits):5.1f} ms",
        flush=True,
    )


def ready(system: System) -> bool:
    """Return whether the worker has loaded its engines."""
    return any(worker.state == "ready" for worker in system.workers())


def main() -> None:
    """Print a line for an idle machine and one for a busy one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    meeting = (files("meet_transcriber.samples") / "standup.ogg").read_bytes()
    with (
        tempfile.TemporaryDirectory() as name,
        served(Path(name), "on", PART_SECONDS=300) as (system, client),
    ):
        wait_for(lambda: ready(system))
        report("idle", list(answers(client, seconds / 4)))
        for _ in range(3):
            client.post("/transcribe", files={"file": ("a.ogg", meeting)}).raise_for_status()
        wait_for(lambda: any(worker.state == "working" for worker in system.workers()))
        report("working", list(answers(client, seconds)))


if __name__ == "__main__":
    main()
