"""What requests for a status cost over Redis: round trips, and threads that they wait for."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi import FastAPI
from starlette.testclient import TestClient

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
    for _ in range(2):  # the second one finds which key the first one was counted for
        await poll_counted(app, f"/transcribe/{JOB}", KEY, 1)
    before = commands(client)
    threads = await poll_counted(app, f"/transcribe/{JOB}", KEY, times)
    return threads, commands(client) - before


def test_a_repeated_poll_takes_one_round_trip(app: FastAPI, client: redis.Redis) -> None:
    threads, found = run_counted(poll(app, client, 1))
    assert (threads, found["evalsha"]) == (1, 1)
    assert (found["incr"], found["get"]) == (2, 2), "two counts, wrong keys and the change mark"
    assert set(found) == {"evalsha", "incr", "pttl", "get"}


def test_polls_at_the_same_time_share_it(app: FastAPI, client: redis.Redis) -> None:
    threads, found = run_counted(poll(app, client, 50))
    assert (threads, found["evalsha"]) == (1, 1)
    assert found["incr"] == 100, "each is counted for its address and its key"


def test_a_repeated_poll_sees_a_change_of_another_process_at_once(
    app: FastAPI, redis_server: RedisServer
) -> None:
    elsewhere = RedisJobStore(parse_redis_url(redis_server.url))
    with TestClient(app) as client:
        for number in range(4):
            elsewhere.update(JOB, partial(replace, name=f"{number}.wav"))
            answers = [
                client.get(f"/transcribe/{JOB}", headers={"X-API-Key": KEY}) for _ in range(3)
            ]
            assert {answer.json()["name"] for answer in answers} == {f"{number}.wav"}
    elsewhere.close()
