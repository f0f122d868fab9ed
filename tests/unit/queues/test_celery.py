"""The Celery queue without a broker."""

import pytest

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.queues.celery import CeleryQueue, make_app


def test_a_pool_without_a_free_connection_is_an_unavailable_broker() -> None:
    app = make_app(parse_redis_url("redis://127.0.0.1:1/0"))
    app.conf.broker_pool_limit = 1
    queue = CeleryQueue(app, pool_seconds=0.01)
    with app.pool.acquire(), pytest.raises(StorageUnavailable, match="all connections are in use"):
        queue.notify("cpu", "job-1", "prepare")
