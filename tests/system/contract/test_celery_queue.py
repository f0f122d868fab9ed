"""The contract of queues on Celery's, over a real Redis."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.queues.celery import CeleryQueue, make_app
from tests.contract.job_queue import JobQueueContract
from tests.redis_server import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def queue(server: RedisServer) -> Iterator[CeleryQueue]:
    queue = CeleryQueue(make_app(parse_redis_url(server.url)))
    yield queue
    queue.close()


class TestCeleryQueue(JobQueueContract):
    def test_messages_that_nobody_took_are_counted(self, queue: CeleryQueue) -> None:
        queue.notify("recognize", "job-1", "recognize:0")
        queue.notify("recognize", "job-1", "recognize:1")
        assert (queue.length("recognize"), queue.length("cpu")) == (2, 0)

    def test_a_broker_that_is_away_is_told_soon(
        self, queue: CeleryQueue, server: RedisServer
    ) -> None:
        queue.notify("cpu", "job-1", "prepare")
        server.stop()
        for ask in (lambda: queue.notify("cpu", "", ""), lambda: queue.length("cpu"), queue.ping):
            started = time.monotonic()
            with pytest.raises(StorageUnavailable, match="does not respond"):
                ask()
            assert time.monotonic() - started < 6.0

    def test_it_goes_on_when_the_broker_is_back(
        self, queue: CeleryQueue, server: RedisServer
    ) -> None:
        queue.notify("cpu", "job-1", "prepare")
        server.restart()
        queue.notify("cpu", "job-1", "attribute")
        assert queue.length("cpu") == 2
