"""The API as a process: what runs beside it, from its start to its end."""

import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TextIO

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from meet_transcriber.api.app import create_app
from meet_transcriber.bootstrap import auth, services
from meet_transcriber.core.errors import StorageError, StorageUnavailable
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.queues import JobQueue
from meet_transcriber.service import Maintenance, MaintenanceThread, Service
from meet_transcriber.settings import Settings

log = get_logger(__name__)

_RETRY_SECONDS = 1.0
_BURIAL_SECONDS = 10.0
"""How long a burial waits for a store; after that the dead worker's leases run out."""


def build(settings: Settings) -> FastAPI:
    """
    The API as the settings want it; its queue, its embedded worker and its attendant start and
    stop with it. No engine is loaded here.

    Raises:
        InvalidOptions: the settings make no sense together, or jobs would be lost here.
        StorageError: the stores cannot be used as configured.
    """
    services.check_place(settings)
    queue = services.open_queue(settings, worker_command)
    service = services.service(settings, queue)
    guard = auth.build_auth(settings, service.context.jobs)
    if settings.webhook_secret is not None:  # one that is none is said now, not by a thread
        services.webhook_secret(settings, service.context.jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        companions = BackgroundServices(
            settings, service, queue, partial(show_first_key, settings, guard)
        )
        companions.start()
        try:
            with _noticing(app.state.stopping.set):
                yield
        finally:
            app.state.stopping.set()
            await run_in_threadpool(companions.stop)

    return create_app(service, settings, lifespan, guard)


def show_first_key(
    settings: Settings, guard: auth.AuthContext, terminal: TextIO | None = None
) -> None:
    """
    Where a key is needed and there is none, make an administrator's, and show it on a terminal.

    Without a terminal none is made: whoever is refused is told how to make one.

    Raises:
        StorageError: it cannot be kept.
    """
    terminal = terminal or sys.stderr
    if guard.mode != "required" or not terminal.isatty():
        return
    if found := auth.first_key(settings, guard.keyring):
        made, path = found
        terminal.write(
            f"There was no API key, so here is one for the administrator, kept in {path}:\n\n"
            f"  {made.token}\n\n"
        )
        terminal.flush()


def worker_command(worker_id: str) -> list[str]:
    """What starts an embedded worker."""
    command = [sys.executable, "-m", "meet_transcriber", "worker", "--embedded"]
    return [*command, "--id", worker_id]


class BackgroundServices:
    """The embedded worker's supervisor, where there is one, and the attendant."""

    def __init__(
        self,
        settings: Settings,
        service: Service,
        queue: JobQueue,
        greet: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            greet: called once the store answers.
        """
        self._settings = settings
        self._greet = greet
        self._context = service.context
        self._queue = queue
        self._tending: Maintenance | None = None
        self._attending = threading.Event()
        self._attendant: MaintenanceThread | None = None
        self._over = threading.Event()
        self._starter = threading.Thread(target=self._attend, name="starter", daemon=True)

    def start(self) -> None:
        """Start both; a store that does not answer yet is waited for without holding up."""
        self._starter.start()
        services.start_worker(self._queue, self._bury)

    def stop(self) -> None:
        """End both in good order, and give up connections."""
        self._over.set()
        self._starter.join()
        self._queue.close()
        if self._attendant is not None:
            self._attendant.stop()
        self._context.tracer.close()
        self._context.jobs.close()

    def _attend(self) -> None:
        holder = f"api-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        while not self._over.is_set():
            try:
                self._tending = services.maintenance(self._settings, self._context, holder)
            except StorageUnavailable as error:
                log.warning("waiting_for_store", error=str(error))
                self._over.wait(_RETRY_SECONDS)
            else:
                self._attendant = MaintenanceThread(self._tending)
                self._attendant.start()
                self._attending.set()
                with suppress(StorageError):  # whoever is refused is told what to do
                    self._greet()
                return

    def _bury(self, worker_id: str) -> None:
        """A worker that was seen to die holds nothing any more."""
        self._attending.wait(_BURIAL_SECONDS)
        if self._tending is not None:
            self._tending.release_dead_workers([worker_id])
        self._context.jobs.remove_worker(worker_id)


@contextmanager
def _noticing(stop: Callable[[], None]) -> Iterator[None]:
    """
    Call `stop` when the process is asked to end, besides what the server does then.

    The server waits for open answers before it tells the application, so endless ones must
    hear of it by themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        stop()
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
