"""What requests for a status cost over Redis: round trips, and threads that they wait for."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi import FastAPI

from meet_transcriber.api.app import build
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.settings import Settings
from meet_transcriber.stores.redis.client import build_client
from meet_transcriber.stores.redis.jobs import RedisJobStore
from tests.contract.job_samples import job
from tests.redis_server import RedisServer
from tests.unit.api.counting_loop import poll_counted, run_counted

KEY, JOB = "a key of this test", "polled"


@pytest.fixture
def app(redis_server: RedisServer, tmp_path: Path) -> Iterator[FastAPI]:
    settings = Settings(
        auth_mode="required", api_keys=KEY, data_dir=tmp_path, redis_url=redis_server.url
    )
    app = build(settings)
    jobs: RedisJobStore = app.state.service.context.jobs
    jobs.create(replace(job(JOB), state="failed", tasks=()))
    yield app
    jobs.remove(JOB)


@pytest.fixture
def client(redis_server: RedisServer) -> redis.Redis:
    return build_client(parse_redis_url(redis_server.url))


def commands(client: redis.Redis) -> Counter[str]:
    """How often Redis has run each command, those of scripts included."""
    stats: Any = client.info("commandstats")
    found = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    return Counter({name: calls for name, calls in found.items() if name not in {"info", "time"}})


async def poll(app: FastAPI, client: redis.Redis, times: int) -> tuple[int, Counter[str]]:
    """How many threads and commands so many polls at once cost, when the status is known."""
    await poll_counted(app, f"/transcribe/{JOB}", KEY, 1)
    before = commands(client)
    threads = await poll_counted(app, f"/transcribe/{JOB}", KEY, times)
    return threads, commands(client) - before


def test_a_poll_takes_three_round_trips(app: FastAPI, client: redis.Redis) -> None:
    threads, found = run_counted(poll(app, client, 1))
    assert (threads, found["evalsha"], found["get"]) == (3, 2, 3)
    assert set(found) == {"evalsha", "incr", "pttl", "get"}, "two counts and the change mark"


def test_polls_at_the_same_time_share_them(app: FastAPI, client: redis.Redis) -> None:
    threads, found = run_counted(poll(app, client, 50))
    assert (threads, found["evalsha"]) == (3, 2)
    assert found["incr"] == 100, "each is counted for its address and its key"
