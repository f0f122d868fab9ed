"""
Milliseconds of reading and writing jobs beside a long history.

    python -m benchmarks.stores [--ended 100000] [--active 100] [--times 50]

For SQLite, and for Redis if redis-server is installed: a store with this many completed jobs, each
with a stored recording, and this many that wait, all of one tenant. Each line has the median of the
same call before and after the completed jobs were added; a cost that grows with the history shows
in the ratio. `submit` is a job's record with the check of its tenant's quotas before it. Redis runs
without a file, and SQLite flushes each change to the disk.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import cast

from meet_transcriber.core.jobs import Job, JobQuery, Task
from meet_transcriber.core.options import Options
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.ports.stores import JobQueue, JobStore
from meet_transcriber.service.queries import measure_queues
from meet_transcriber.stores.redis.jobs import RedisJobStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.redis_server import RedisServer

_TENANT = "ann"
_DAY_SECONDS = 86_400.0
_NOW = 10 * _DAY_SECONDS


class NoMessages:
    """A broker without messages."""

    def length(self, _queue: str) -> int:
        return 0


def waiting(job_id: str) -> Job:
    """A job that waits for its first task."""
    tasks = (Task("prepare"),)
    return Job(
        job_id, Options(), name="a.mp3", created_at=_NOW, tenant=_TENANT, tasks=tasks, duration=60.0
    )


def ended(number: int) -> Job:
    """A completed job of an earlier day, whose recording is stored."""
    made = replace(waiting(f"ended-{number}"), created_at=number / 1000, tasks=())
    return replace(made, state="completed", objects={"recording": "r"}, size_bytes=1 << 20)


def calls(store: JobStore) -> dict[str, Callable[[], object]]:
    """What is measured."""
    numbers, queue = count(), cast(JobQueue, NoMessages())

    def submit() -> None:
        store.usage(_TENANT, _NOW - _DAY_SECONDS)
        store.create(waiting(f"new-{time.time_ns()}-{next(numbers)}"))

    return {
        "list page": lambda: store.page(JobQuery(limit=21, tenant=_TENANT)),
        "status": lambda: store.get("active-0"),
        "position": lambda: store.count_ahead(waiting("active-0")),
        "queue": lambda: measure_queues(store, queue, _NOW),
        "usage": lambda: store.usage(_TENANT, _NOW - _DAY_SECONDS),
        "submit": submit,
    }


def measure(store: JobStore, times: int) -> dict[str, float]:
    """Median milliseconds of each call."""
    return {name: median(_milliseconds(call, times)) for name, call in calls(store).items()}


def _milliseconds(call: Callable[[], object], times: int) -> Iterator[float]:
    call()
    for _ in range(times):
        started = time.perf_counter()
        call()
        yield 1000 * (time.perf_counter() - started)


def report(name: str, store: JobStore, args: argparse.Namespace) -> None:
    """Print a line for each call."""
    for number in range(args.active):
        store.create(waiting(f"active-{number}"))
    before = measure(store, args.times)
    for number in range(args.ended):
        store.create(ended(number))
    for call, milliseconds in measure(store, args.times).items():
        print(
            f"{name:7s} {call:10s} {milliseconds:7.2f} ms with {args.ended} ended jobs, "
            f"{before[call]:7.2f} without, {milliseconds / before[call]:5.1f} x",
            flush=True,
        )


@contextmanager
def redis_store(folder: Path) -> Iterator[JobStore]:
    """A store in a Redis of its own."""
    with RedisServer(folder) as server:
        store = RedisJobStore(parse_redis_url(server.url))
        yield store
        store.close()


def main() -> None:
    """Print six lines for each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ended", type=int, default=100_000)
    parser.add_argument("--active", type=int, default=100)
    parser.add_argument("--times", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteJobStore(Path(folder, "jobs.sqlite3"))
        report("SQLite", store, args)
        store.close()
        if shutil.which("redis-server"):
            with redis_store(Path(folder, "redis")) as shared:
                report("Redis", shared, args)


if __name__ == "__main__":
    main()
