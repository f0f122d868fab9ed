"""
Efficiency of 1, 2, 4 and 8 workers on one long meeting.

    python -m benchmarks.scaling [--parts 48] [--seconds 0.5] [--workers 1 2 4 8]

The engine sleeps, so this measures scheduling over Celery and Redis, from the end of preparation
to the end of the last part; 1.00 means that no worker ever waited.
"""

import argparse
import tempfile
from pathlib import Path

from tests.redis_server import RedisServer
from tests.simulated.system import System, wait_for


def seconds_of_parts(workers: int, parts: int, seconds: float) -> float:
    """Return how long the parts of one meeting took with this number of workers."""
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name, "redis")) as server:
        cost = {"SIMULATED_PART_SECONDS": seconds, "LOG_LEVEL": "WARNING"}
        with System(Path(name, "system"), REDIS_URL=server.url, **cost) as system:
            system.celery("crew", "--loglevel=ERROR", f"--concurrency={workers}")
            wait_for(lambda: len(system.workers()) == workers)
            job = system.ended(system.submit(parts), seconds=parts * seconds + 60)
    ends = [task.finished_at or 0.0 for task in job.tasks if task.kind == "recognize"]
    return max(ends) - (job.task("prepare").finished_at or 0.0)


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    args = parser.parse_args()
    for workers in args.workers:
        took = seconds_of_parts(workers, args.parts, args.seconds)
        share = args.parts * args.seconds / (workers * took)
        print(
            f"{workers} workers: {took:6.2f} s for {args.parts} parts of {args.seconds} s, "
            f"{share:.2f} x N",
            flush=True,
        )


if __name__ == "__main__":
    main()
