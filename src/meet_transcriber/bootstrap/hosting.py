"""A process that offers the service, with all that has to run beside it."""

import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from meet_transcriber.bootstrap import services
from meet_transcriber.core.workers import WorkerName
from meet_transcriber.service import Attendant, Service
from meet_transcriber.settings import Settings

WorkerCommand = Callable[[str], Sequence[str]]
"""From the id of a new worker to the command that starts it, with stdin as its lifeline."""


def worker_command(worker_id: str) -> list[str]:
    """How the embedded worker is started."""
    return [
        sys.executable, "-m", "meet_transcriber", "worker", "--embedded", "--id", worker_id,
    ]  # fmt: skip


@contextmanager
def hosted(settings: Settings, command: WorkerCommand = worker_command) -> Iterator[Service]:
    """
    The service while its process lives: jobs are tended, and where the settings want an
    embedded worker, one of the processes on this DATA_DIR keeps it alive.

    Raises:
        StorageError: the stores cannot be reached or used.
        InvalidOptions: the settings make no sense.
    """
    services.check_place(settings)
    queue = services.open_queue(settings, command)
    try:
        service = services.service(settings, queue)
        holder = str(WorkerName(socket.gethostname(), os.getpid(), secrets.token_hex(4)))
        tending = services.tending(settings, service.ground, holder)
        services.start_worker(queue, lambda worker_id: tending.bury([worker_id]))
        attendant = Attendant(tending)
        attendant.start()
        try:
            yield service
        finally:
            attendant.stop()
    finally:
        queue.close()
