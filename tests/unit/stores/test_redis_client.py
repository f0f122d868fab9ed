"""Calls of Redis, with a client that answers without a server."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, cast

import pytest
import redis

from meet_transcriber.stores.redis.client import RedisCalls


class NoCluster:
    """A client of a Redis that does not run in cluster mode."""

    def info(self, _section: str) -> dict[str, Any]:
        return {"cluster_enabled": 0}


def test_other_threads_wait_until_the_indexes_are_rebuilt() -> None:
    calls, begun, finish = RedisCalls(cast(redis.Redis, NoCluster()), "here"), Event(), Event()
    order: list[str] = []

    def rebuild() -> None:
        begun.set()
        assert finish.wait(10)
        calls.run(lambda: order.append("rebuilt"))  # the rebuilding thread's own calls pass

    calls.first = rebuild
    with ThreadPoolExecutor() as threads:
        first = threads.submit(calls.run, lambda: order.append("first"))
        assert begun.wait(10)
        second = threads.submit(calls.run, lambda: order.append("second"))
        with pytest.raises(TimeoutError):
            second.result(0.2)
        finish.set()
        first.result(10), second.result(10)
    assert order[0] == "rebuilt"
    assert sorted(order[1:]) == ["first", "second"]


def test_a_failed_rebuild_is_repeated_by_the_next_call() -> None:
    calls, attempts = RedisCalls(cast(redis.Redis, NoCluster()), "here"), [OSError("no"), None]

    def rebuild() -> None:
        if error := attempts.pop(0):
            raise error

    calls.first = rebuild
    for outcome in ("failed", "done"):
        try:
            assert calls.run(lambda: "done") == outcome
        except OSError:
            assert outcome == "failed"
    assert not attempts
