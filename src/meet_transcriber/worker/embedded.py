"""The worker of a single machine: one process that looks into the store by itself."""

import logging
import os
import secrets
import socket
import threading

from meet_transcriber.bootstrap import services, watching
from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerName
from meet_transcriber.logs import get_logger
from meet_transcriber.settings import Settings
from meet_transcriber.worker.doorbell import Doorbell
from meet_transcriber.worker.process import (
    RETRY_SECONDS,
    MakeEngines,
    MakeGround,
    WorkerProcess,
    begin,
)

log = get_logger(__name__)

_LOOK_SECONDS = 0.1  # SQLite answers in microseconds
_LOOK_OVER_NETWORK_SECONDS = 0.5


def run(
    settings: Settings,
    make_engines: MakeEngines = services.worker_engines,
    *,
    make_ground: MakeGround = services.ground,
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
        return WorkerProcess(settings, queue, queues, make_engines, worker_id, make_ground)

    with Doorbell(lifeline) as doorbell:
        process = begin(make, doorbell.over)
        if process is not None:
            if lifeline is None:  # else whoever started it tells its figures
                watching.serve_figures(settings, process.ground)
            look_seconds = _LOOK_OVER_NETWORK_SECONDS if settings.redis_url else _LOOK_SECONDS
            _work(process, doorbell, look_seconds)


def _work(process: WorkerProcess, doorbell: Doorbell, look_seconds: float) -> None:
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


def _loop(process: WorkerProcess, doorbell: Doorbell, look_seconds: float) -> None:
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
