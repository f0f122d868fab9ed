"""What a worker's main thread hears."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from meet_transcriber.worker.embedded import WakeupPipe


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A lifeline: its inside for the bell, its outside for the supervisor."""
    inside, outside = os.pipe()
    yield inside, outside
    os.close(inside)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_means_the_end(number: signal.Signals) -> None:
    with WakeupPipe() as doorbell:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        assert doorbell.over()


def test_a_byte_rings(pipe: tuple[int, int]) -> None:
    with WakeupPipe(pipe[0]) as doorbell:
        assert not doorbell.over(0.0)
        os.write(pipe[1], b"\n\n")
        assert not doorbell.over(1.0)
        assert doorbell.rung.is_set()
    os.close(pipe[1])


def test_the_end_of_the_lifeline_means_the_end(pipe: tuple[int, int]) -> None:
    with WakeupPipe(pipe[0]) as doorbell:
        os.close(pipe[1])
        assert doorbell.over()


def test_another_thread_may_end_it() -> None:
    with WakeupPipe() as doorbell:
        threading.Timer(0.05, doorbell.end).start()
        assert doorbell.over()
