"""The worker of a single machine: one process that polls the store."""

import logging
import os
import select
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self

from meet_transcriber.bootstrap import observability, services
from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerName
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.settings import Settings
from meet_transcriber.worker.runtime import (
    RETRY_SECONDS,
    MakeContext,
    MakeEngines,
    WorkerProcess,
    connect,
    worker_engines,
)

log = get_logger(__name__)

_POLL_SECONDS = 0.1  # SQLite answers in microseconds
_REMOTE_POLL_SECONDS = 0.5
_IDLE_POLL_SECONDS = 1.0


class WakeupPipe:
    """
    Wakes the main thread for signals and for bytes from the parent process.

    A byte on `parent_pipe` sets `work_event`; its end means that the process should stop.
    """

    def __init__(self, parent_pipe: int | None = None) -> None:
        self.work_event = threading.Event()
        self._parent_pipe = parent_pipe
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _once)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def stop(self) -> None:
        """Make `should_stop` return True."""
        os.write(self._write_fd, b"\0")

    def should_stop(self, seconds: float | None = None) -> bool:
        """Wait this long, or until the process should stop; returns whether it should."""
        read_fds = [self._read_fd]
        if self._parent_pipe is not None:
            read_fds.append(self._parent_pipe)
        while True:
            ready, _, _ = select.select(read_fds, [], [], seconds)
            if self._read_fd in ready:
                return True
            if self._parent_pipe in ready and not os.read(self._parent_pipe, 4096):
                return True
            self.work_event.set()
            if seconds is not None:
                return False


def _once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal calls it
    """The wake-up pipe has the first signal; the second one ends the process."""
    signal.signal(number, signal.SIG_DFL)


def run(
    settings: Settings,
    make_engines: MakeEngines = worker_engines,
    *,
    make_context: MakeContext = services.context,
    queues: tuple[str, ...] = QUEUES,
    worker_id: str | None = None,
    parent_pipe: int | None = None,
) -> None:
    """
    Work until SIGTERM, Ctrl-C or the end of the parent's pipe; ends the process.

    Args:
        worker_id: chosen at random where None.
        parent_pipe: file descriptor; a byte on it announces work.

    Raises:
        StorageError, InvalidOptions: the stores cannot be used as configured.
    """
    worker_id = worker_id or str(WorkerName.new())
    queue = services.embedded_queue()

    def make() -> WorkerProcess:
        return WorkerProcess(settings, queue, queues, make_engines, worker_id, make_context)

    with WakeupPipe(parent_pipe) as wakeup:
        process = connect(make, wakeup.should_stop)
        if process is not None:
            if parent_pipe is None:  # otherwise the API exposes this worker's metrics
                observability.serve_metrics(settings, process.context)
            poll_seconds = _REMOTE_POLL_SECONDS if settings.redis_url else _POLL_SECONDS
            _work(process, wakeup, poll_seconds)


def _work(process: WorkerProcess, wakeup: WakeupPipe, poll_seconds: float) -> None:
    process.start()
    arguments = process, wakeup, poll_seconds
    loop = threading.Thread(target=_loop, args=arguments, name="work", daemon=True)
    loop.start()
    wakeup.should_stop()
    crashed = not loop.is_alive()
    if process.wind_down():
        process.close()
    else:
        log.warning("worker_cut_off", why="the engine did not stop; its task is released")
    logging.shutdown()
    os._exit(int(crashed))  # threads that deliver webhooks would delay an ordinary exit


def _pauses(seconds: float) -> Iterator[float]:
    """
    Pauses between polls, longer while there is no work.

    The parent's byte ends a pause at once, so polls find only what other processes submitted.
    """
    while True:
        yield seconds
        seconds = min(2 * seconds, _IDLE_POLL_SECONDS)


def _loop(process: WorkerProcess, wakeup: WakeupPipe, poll_seconds: float) -> None:
    """Run tasks while there are any; pauses after an error."""
    pauses = _pauses(poll_seconds)
    try:
        while not process.stopping.is_set():
            wakeup.work_event.clear()
            try:
                if process.work() or wakeup.work_event.wait(next(pauses)):
                    pauses = _pauses(poll_seconds)
            except StorageUnavailable as error:
                log.warning("waiting_for_store", error=str(error))
                process.stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("worker_error")
                process.stopping.wait(RETRY_SECONDS)
    finally:
        if not process.stopping.is_set():
            wakeup.stop()
