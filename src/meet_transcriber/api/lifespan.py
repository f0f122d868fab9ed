"""The API process: builds the app and runs its queue, worker and maintenance beside it."""

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
from meet_transcriber.ports.stores import JobQueue
from meet_transcriber.service import Maintenance, MaintenanceThread, Service
from meet_transcriber.settings import Settings

log = get_logger(__name__)

_RETRY_SECONDS = 1.0
_RELEASE_SECONDS = 10.0
"""How long releasing a dead worker's tasks waits for the store; then their leases expire."""


def build(settings: Settings) -> FastAPI:
    """
    Build the API; its queue, embedded worker and maintenance start and stop with it.

    No engine is loaded here.

    Raises:
        InvalidOptions: the settings contradict each other, or jobs would be lost here.
        StorageError: the stores cannot be used as configured.
    """
    services.check_place(settings)
    queue = services.open_queue(settings, worker_command)
    service = services.service(settings, queue)
    access = auth.build_auth(settings, service.context.jobs)
    if settings.webhook_secret is not None:  # an invalid one fails the start, not a thread later
        services.webhook_secret(settings, service.context.jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        background = BackgroundServices(
            settings, service, queue, partial(show_first_key, settings, access)
        )
        background.start()
        try:
            with _on_stop_signal(app.state.stopping.set):
                yield
        finally:
            app.state.stopping.set()
            await run_in_threadpool(background.stop)

    return create_app(service, settings, lifespan, access)


def show_first_key(
    settings: Settings, access: auth.AuthContext, terminal: TextIO | None = None
) -> None:
    """
    Create an administrator's key where one is required and none exists, and print it.

    Without a terminal no key is created; refused requests explain how to create one.

    Raises:
        StorageError: the key cannot be stored.
    """
    terminal = terminal or sys.stderr
    if access.mode != "required" or not terminal.isatty():
        return
    if found := auth.first_key(settings, access.keyring):
        made, path = found
        terminal.write(
            f"No API key existed, so one was created for the administrator, in {path}:\n\n"
            f"  {made.token}\n\n"
        )
        terminal.flush()


def worker_command(worker_id: str) -> list[str]:
    """The command that starts an embedded worker."""
    command = [sys.executable, "-m", "meet_transcriber", "worker", "--embedded"]
    return [*command, "--id", worker_id]


class BackgroundServices:
    """The queue with its embedded worker, where there is one, and maintenance."""

    def __init__(
        self,
        settings: Settings,
        service: Service,
        queue: JobQueue,
        greet: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            greet: called when the store first answers.
        """
        self._settings = settings
        self._greet = greet
        self._context = service.context
        self._queue = queue
        self._maintenance: Maintenance | None = None
        self._maintenance_started = threading.Event()
        self._thread: MaintenanceThread | None = None
        self._stopped = threading.Event()
        self._starter = threading.Thread(
            target=self._start_maintenance, name="starter", daemon=True
        )

    def start(self) -> None:
        """Start all without waiting for a store that does not answer yet."""
        self._starter.start()
        services.start_worker(self._queue, self._release_worker)

    def stop(self) -> None:
        """Stop all in order and close connections."""
        self._stopped.set()
        self._starter.join()
        self._queue.close()
        if self._thread is not None:
            self._thread.stop()
        self._context.tracer.close()
        self._context.jobs.close()

    def _start_maintenance(self) -> None:
        holder = f"api-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        while not self._stopped.is_set():
            try:
                self._maintenance = services.maintenance(self._settings, self._context, holder)
            except StorageUnavailable as error:
                log.warning("waiting_for_store", error=str(error))
                self._stopped.wait(_RETRY_SECONDS)
            else:
                self._thread = MaintenanceThread(self._maintenance)
                self._thread.start()
                self._maintenance_started.set()
                with suppress(StorageError):  # refused requests explain how to create a key
                    self._greet()
                return

    def _release_worker(self, worker_id: str) -> None:
        """Release the tasks of a worker that died."""
        self._maintenance_started.wait(_RELEASE_SECONDS)
        if self._maintenance is not None:
            self._maintenance.release_dead_workers([worker_id])
        self._context.jobs.remove_worker(worker_id)


@contextmanager
def _on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    """
    Call `stop` on SIGTERM and SIGINT, before the server's own handlers.

    The server waits for open responses before it ends the lifespan, so endless streams have to
    learn of the signal by other means.
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
