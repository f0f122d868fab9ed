"""Changes one job many times, as one of several processes: python -m tests.contract.hammer."""

import sys
from pathlib import Path

from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.ports.stores import JobStore
from meet_transcriber.stores.redis.jobs import RedisJobStore
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.contract.job_samples import one_more


def open_store(place: str) -> JobStore:
    """The store at `sqlite:PATH`, or at a Redis URL with `#NAMESPACE`."""
    if place.startswith("sqlite:"):
        return SqliteJobStore(Path(place.removeprefix("sqlite:")))
    url, _, namespace = place.partition("#")
    return RedisJobStore(parse_redis_url(url), namespace)


def main(place: str, job_id: str, times: int) -> None:
    store = open_store(place)
    for _ in range(times):
        store.update(job_id, one_more)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
