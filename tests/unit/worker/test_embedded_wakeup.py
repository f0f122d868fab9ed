"""What wakes the main thread of an embedded worker."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from meet_transcriber.worker.embedded import WakeupPipe


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The pipe from a supervisor: its read and its write end."""
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    os.close(read_fd)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process(number: signal.Signals) -> None:
    with WakeupPipe() as wakeup:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        assert wakeup.should_stop()


def test_a_byte_sets_the_work_event(pipe: tuple[int, int]) -> None:
    with WakeupPipe(pipe[0]) as wakeup:
        assert not wakeup.should_stop(0.0)
        os.write(pipe[1], b"\n\n")
        assert not wakeup.should_stop(1.0)
        assert wakeup.work_event.is_set()
    os.close(pipe[1])


def test_the_end_of_the_parent_pipe_stops_the_process(pipe: tuple[int, int]) -> None:
    with WakeupPipe(pipe[0]) as wakeup:
        os.close(pipe[1])
        assert wakeup.should_stop()


def test_another_thread_can_stop_the_process() -> None:
    with WakeupPipe() as wakeup:
        threading.Timer(0.05, wakeup.stop).start()
        assert wakeup.should_stop()
