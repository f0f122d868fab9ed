"""The worker of a single machine: one process that looks into the store by itself."""

import logging
import os
import secrets
import select
import signal
import socket
import threading
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
    MakeEngines,
    MakeGround,
    WorkerProcess,
    begin,
)


class WakeupPipe:
    """
    Tells the main thread when to end, and others when to look for work.

    Args:
        lifeline: a pipe; a byte on it rings, its end means that the process should end.
    """

    def __init__(self, lifeline: int | None = None) -> None:
        self.rung = threading.Event()
        self._lifeline = lifeline
        self._inside, self._outside = os.pipe()
        os.set_blocking(self._outside, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._outside, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _once)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._inside)
        os.close(self._outside)

    def end(self) -> None:
        """Have `over` say that the process should end."""
        os.write(self._outside, b"\0")

    def over(self, seconds: float | None = None) -> bool:
        """Listen for so long, or until it is time to end; returns whether it is."""
        ears = [self._inside] if self._lifeline is None else [self._inside, self._lifeline]
        while True:
            heard, _, _ = select.select(ears, [], [], seconds)
            if self._inside in heard:
                return True
            if self._lifeline in heard and not os.read(self._lifeline, 4096):
                return True
            self.rung.set()
            if seconds is not None:
                return False


def _once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal calls it
    """The wake-up pipe has it; whoever asks a second time means it."""
    signal.signal(number, signal.SIG_DFL)


log = get_logger(__name__)

_LOOK_SECONDS = 0.1  # SQLite answers in microseconds
_LOOK_OVER_NETWORK_SECONDS = 0.5


def run(
    settings: Settings,
    make_engines: MakeEngines = services.worker_engines,
    *,
    make_context: MakeGround = services.context,
    queues: tuple[str, ...] = QUEUES,
    worker_id: str | None = None,
    lifeline: int | None = None,
) -> None:
    """
    Work until SIGTERM or SIGINT comes, or the lifeline ends; the task at hand goes back.

    For the main thread of a process of its own: it may end the process.

    Args:
        worker_id: under which to claim tasks; None makes one up.
        lifeline: a pipe of whoever started this; a byte on it means that there is work.

    Raises:
        StorageError, InvalidOptions: the stores cannot be used as configured.
    """
    worker_id = worker_id or str(
        WorkerName(socket.gethostname(), os.getpid(), secrets.token_hex(4))
    )
    queue = services.embedded_queue()

    def make() -> WorkerProcess:
        return WorkerProcess(settings, queue, queues, make_engines, worker_id, make_context)

    with WakeupPipe(lifeline) as doorbell:
        process = begin(make, doorbell.over)
        if process is not None:
            if lifeline is None:  # else whoever started it tells its figures
                observability.serve_figures(settings, process.context)
            look_seconds = _LOOK_OVER_NETWORK_SECONDS if settings.redis_url else _LOOK_SECONDS
            _work(process, doorbell, look_seconds)


def _work(process: WorkerProcess, doorbell: WakeupPipe, look_seconds: float) -> None:
    process.start()
    loop = threading.Thread(
        target=_loop, args=(process, doorbell, look_seconds), name="work", daemon=True
    )
    loop.start()
    doorbell.over()
    broken = not loop.is_alive()
    if process.wind_down():
        process.close()
    else:
        log.warning("worker_cut_off", why="the engine did not stop; its task is given back")
    logging.shutdown()
    os._exit(int(broken))  # webhooks and downloads on their way would hold up an ordinary end


def _loop(process: WorkerProcess, doorbell: WakeupPipe, look_seconds: float) -> None:
    try:
        while not process.stopping.is_set():
            doorbell.rung.clear()
            if not _try(process):
                doorbell.rung.wait(look_seconds)
    finally:
        if not process.stopping.is_set():
            doorbell.end()


def _try(process: WorkerProcess) -> bool:
    """Do a task if there is one; a store that is away is asked again a little later."""
    try:
        return process.work()
    except StorageUnavailable as error:
        log.warning("waiting_for_store", error=str(error))
    except Exception:
        log.exception("worker_error")
    process.stopping.wait(RETRY_SECONDS)
    return False
