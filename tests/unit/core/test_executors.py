"""Tenants share the threads of a pool."""

import gc
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import pytest

from meet_transcriber.core.errors import RateLimited
from meet_transcriber.core.executors import FairExecutor

SECONDS = 20


def test_results_and_errors_reach_the_caller() -> None:
    pool = FairExecutor(2, "test")
    assert pool.submit("ann", divmod, 7, 2).result(SECONDS) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        pool.submit("ann", divmod, 7, 0).result(SECONDS)


def test_threads_beyond_a_tenants_share_stay_free() -> None:
    pool, release = FairExecutor(4, "test"), threading.Event()
    slow = [pool.submit("ann", release.wait, SECONDS) for _ in range(100)]
    for _ in range(20):
        assert pool.submit("bob", int, "5").result(SECONDS) == 5
    assert sum(each.running() for each in slow) == 2
    release.set()
    assert all(each.result(SECONDS) for each in slow)


def test_tenants_take_turns() -> None:
    pool, release = FairExecutor(1, "test"), threading.Event()
    order: list[str] = []
    first = pool.submit("ann", release.wait, SECONDS)
    futures: list[Future[Any]] = [
        pool.submit(tenant, order.append, f"{tenant}{number}")
        for tenant, most in (("ann", 4), ("bob", 2), ("eve", 1))
        for number in range(most)
    ]
    release.set()
    wait([*futures, first], SECONDS)
    assert order == ["ann0", "bob0", "eve0", "ann1", "bob1", "ann2", "ann3"]


def test_the_waiting_calls_of_a_tenant_are_limited() -> None:
    pool, release = FairExecutor(2, "test", waiting=3), threading.Event()
    futures = [pool.submit("ann", release.wait, SECONDS) for _ in range(4)]
    with pytest.raises(RateLimited) as raised:
        pool.submit("ann", release.wait, SECONDS)
    assert raised.value.retry_after_seconds
    assert pool.submit("bob", int).result(SECONDS) == 0
    release.set()
    assert all(each.result(SECONDS) for each in futures)
    assert pool.submit("ann", int).result(SECONDS) == 0


def test_a_cancelled_call_does_not_run_and_takes_no_thread() -> None:
    pool, release, ran = FairExecutor(1, "test"), threading.Event(), threading.Event()
    pool.submit("ann", release.wait, SECONDS)
    waiting = [pool.submit("ann", ran.set) for _ in range(3)]
    assert all(each.cancel() for each in waiting)
    release.set()
    assert pool.submit("ann", int).result(SECONDS) == 0
    assert not ran.is_set()


def test_shutdown_cancels_what_waits() -> None:
    pool, release = FairExecutor(1, "test"), threading.Event()
    running = pool.submit("ann", release.wait, SECONDS)
    while not running.running():
        time.sleep(0.001)
    waiting = pool.submit("ann", int)
    pool.shutdown()
    with pytest.raises(CancelledError):
        waiting.result(SECONDS)
    release.set()
    assert running.result(SECONDS)


def test_a_call_that_runs_does_not_keep_the_process_from_ending() -> None:
    program = (
        "import threading; from meet_transcriber.core.executors import FairExecutor\n"
        "pool = FairExecutor(1, 'test'); pool.submit('ann', threading.Event().wait)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], timeout=SECONDS, check=False).returncode
        == 0
    )


def test_cancelled_calls_leave_their_places_to_others() -> None:
    pool, release = FairExecutor(1, "test", waiting=2), threading.Event()
    running = pool.submit("ann", release.wait, SECONDS)
    for _ in range(5):
        assert pool.submit("ann", int).cancel()
    release.set()
    assert running.result(SECONDS)


def test_after_a_shutdown_calls_are_cancelled() -> None:
    pool = FairExecutor(1, "test")
    pool.shutdown()
    assert pool.submit("ann", int).cancelled()


def test_threads_end_with_their_pool() -> None:
    pool = FairExecutor(2, "threads-of-this-test")
    assert pool.submit("ann", int).result(SECONDS) == 0
    (thread,) = [each for each in threading.enumerate() if each.name == "threads-of-this-test"]
    del pool
    gc.collect()
    thread.join(SECONDS)
    assert not thread.is_alive()
