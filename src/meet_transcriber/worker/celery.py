"""
Celery's worker: the parent hears the broker, each child works with engines of its own.

The parent never loads a model, so it answers `inspect ping` while a child works.
"""

import logging
import mmap
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from celery import Celery, signals

from meet_transcriber.bootstrap import observability, services
from meet_transcriber.core.errors import InvalidOptions, StorageUnavailable, TranscriptionError
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerName, parse_worker_name
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.queues import JobQueue
from meet_transcriber.settings import Settings
from meet_transcriber.worker.runtime import MakeEngines, WorkerProcess, begin

log = get_logger(__name__)

_LOOK_SECONDS = 0.1
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def build(settings: Settings, make_engines: MakeEngines = services.worker_engines) -> Celery:
    """
    The Celery application of workers, with its one task; for `celery -A`.

    Raises:
        InvalidOptions: there is no REDIS_URL, or one that makes no sense.
    """
    queue = services.celery_queue(settings)
    crew = CeleryChildren(settings, queue, make_engines)

    @queue.app.task(name=queue.task_name)  # type: ignore[untyped-decorator]
    def work(_job_id: str, _task: str) -> bool:
        return crew.work()

    return queue.app


class CeleryChildren:
    """
    One Celery worker's children. It is made in the parent; each child has a copy.

    What the parent says to its children goes through shared memory that is older than they.
    """

    def __init__(self, settings: Settings, queue: JobQueue, make_engines: MakeEngines) -> None:
        self._settings = settings
        self._queue = queue
        self._make_engines = make_engines
        self._queues: tuple[str, ...] = QUEUES
        self._token = secrets.token_hex(4)
        self._ending = mmap.mmap(-1, 1)
        self._process: WorkerProcess | None = None
        self._ready = threading.Event()
        for event, receiver in (
            (signals.celeryd_init, _check_queues),
            (signals.celeryd_init, self._set_up_logging),  # Celery itself would do so later
            (signals.celeryd_init, self._open_figures),
            (signals.setup_logging, self._set_up_logging),
            (signals.celeryd_after_setup, self._choose_queues),
            (signals.worker_shutting_down, self._end),
            (signals.worker_process_init, self._begin),
            (signals.worker_process_shutdown, self._leave),
        ):
            event.connect(receiver, weak=False)

    def work(self) -> bool:
        """What a child does with a permit: one task, if there is one."""
        while not self._ready.wait(_LOOK_SECONDS):
            if self._over():
                return False
        try:
            return self._process is not None and self._process.work()
        except StorageUnavailable as error:  # tending sends another permit
            log.warning("waiting_for_store", error=str(error))
            return False

    # -- in the parent ---------------------------------------------------------------------

    def _open_figures(self, **_: object) -> None:
        """The parent tells what its children count, also of those that died."""
        observability.share_figures()
        with _sentences():
            observability.serve_figures(self._settings, None)

    def _set_up_logging(self, loglevel: int = 0, instance: Any = None, **_: object) -> None:
        """In place of what Celery does; its --loglevel counts where LOG_LEVEL is not set."""
        if instance is not None and self._settings.log_json:
            instance.quiet = True  # its banner is no line of a log
        told = logging.getLevelName(loglevel)
        if "log_level" not in self._settings.model_fields_set and told in _LEVELS:
            self._settings = self._settings.model_copy(update={"log_level": told})
        with _sentences():
            observability.set_up_logging(self._settings)

    def _choose_queues(self, instance: Any, **_: object) -> None:
        """Claim only tasks of the queues that this worker consumes, as `-Q` says."""
        consumed = instance.app.amqp.queues.consume_from
        self._queues = tuple(name for name in QUEUES if name in consumed)

    def _end(self, **_: object) -> None:
        self._ending[0] = 1

    # -- in a child ------------------------------------------------------------------------

    def _begin(self, **_: object) -> None:
        """Celery waits for this, so it must be quick."""
        if self._settings.cloudwatch_log_group:  # its threads stayed with the parent
            observability.set_up_logging(self._settings)
        observability.instrument_celery(self._settings)
        threading.Thread(target=self._run, name="worker", daemon=True).start()

    def _run(self) -> None:
        try:
            process = begin(self._make, self._over)
        except TranscriptionError as error:
            log.critical("worker_unusable", error=str(error))
            os.kill(os.getppid(), signal.SIGTERM)  # rather than hold permits without working
            return
        if process is None:
            return
        process.start()
        self._bury_siblings(process)
        self._process = process
        self._ready.set()
        while not self._over(_LOOK_SECONDS):
            pass
        if not process.wind_down():
            log.warning("worker_cut_off", why="the engine did not stop; its task is given back")
            os._exit(0)

    def _make(self) -> WorkerProcess:
        name = WorkerName(socket.gethostname(), os.getpid(), self._token)
        return WorkerProcess(
            self._settings, self._queue, self._queues, self._make_engines, str(name)
        )

    def _over(self, seconds: float = 0.0) -> bool:
        """Wait so long; returns whether the worker as a whole is ending."""
        time.sleep(seconds)
        return self._ending[0] == 1

    def _bury_siblings(self, process: WorkerProcess) -> None:
        """Celery starts a child in place of one that died; what that one held need not wait."""
        try:
            process.bury(partial(_is_dead_sibling, self._token))
        except TranscriptionError as error:
            log.warning("burial_failed", error=str(error))

    def _leave(self, **_: object) -> None:
        if self._process is not None:
            self._process.wind_down()
            self._process.close()


@contextmanager
def _sentences() -> Iterator[None]:
    """What cannot be had ends the process with a sentence."""
    try:
        yield
    except InvalidOptions as error:
        raise SystemExit(f"error: {error}") from None


def _check_queues(options: dict[str, Any], **_: object) -> None:
    """Refuse a `-Q` that Celery would refuse with a traceback."""
    asked = options.get("queues") or []
    if unknown := set(asked.split(",") if isinstance(asked, str) else asked) - set(QUEUES):
        raise SystemExit(f"-Q {min(unknown)} is no queue; there are {' and '.join(QUEUES)}.")


def _is_dead_sibling(token: str, worker_id: str) -> bool:
    name = parse_worker_name(worker_id)
    if name is None or name.token != token or name.host != socket.gethostname():
        return False
    try:
        os.kill(name.pid, 0)
    except ProcessLookupError:
        return True
    return False
