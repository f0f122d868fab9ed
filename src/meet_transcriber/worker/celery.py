"""
Celery's worker: the parent receives messages, each child runs tasks with its own engines.

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
from functools import partial
from typing import Any

from celery import Celery, signals

from meet_transcriber.bootstrap import observability, services
from meet_transcriber.core.errors import StorageUnavailable, TranscriptionError
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerName, parse_worker_name
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.stores import JobQueue
from meet_transcriber.settings import Settings, exit_on_error
from meet_transcriber.worker.runtime import MakeEngines, WorkerProcess, connect, worker_engines

log = get_logger(__name__)

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 5.0  # two times that in which maintenance replaces lost messages
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def build(settings: Settings, make_engines: MakeEngines = worker_engines) -> Celery:
    """The application for `celery -A`, with its task; raises InvalidOptions without REDIS_URL."""
    queue = services.celery_queue(settings)
    children = CeleryChildren(settings, queue, make_engines)

    @queue.app.task(name=queue.task_name)  # type: ignore[untyped-decorator]
    def work(_job_id: str, _task: str) -> bool:
        return children.work()

    return queue.app


class CeleryChildren:
    """
    The children of one Celery worker. It is made in the parent; each child has a copy.

    The parent signals its children through shared memory, mapped before they are forked.
    """

    def __init__(self, settings: Settings, queue: JobQueue, make_engines: MakeEngines) -> None:
        self._settings = settings
        self._queue = queue
        self._make_engines = make_engines
        self._queues: tuple[str, ...] = QUEUES
        self._token = secrets.token_hex(4)
        self._stopping = mmap.mmap(-1, 1)
        self._process: WorkerProcess | None = None
        self._ready = threading.Event()
        self._slot = threading.Lock()  # a child runs one task at a time
        self._received = 0
        for event, receiver in (
            (signals.celeryd_init, _check_queues),
            (signals.celeryd_init, self._set_up_logging),  # Celery itself does so later
            (signals.celeryd_init, self._serve_metrics),
            (signals.setup_logging, self._set_up_logging),
            (signals.celeryd_after_setup, self._read_queues),
            (signals.worker_shutting_down, self._stop),
            (signals.worker_process_init, self._start_child),
            (signals.worker_process_shutdown, self._close_child),
        ):
            event.connect(receiver, weak=False)  # only signals refer to these bound methods

    def work(self) -> bool:
        """Handle a message in a child: run one task, if one is ready."""
        self._received += 1
        while not self._ready.wait(_POLL_SECONDS):
            if self._should_stop():
                return False
        try:
            with self._slot:
                return self._process is not None and self._process.work()
        except StorageUnavailable as error:  # maintenance sends another message
            log.warning("waiting_for_store", error=str(error))
            return False

    # -- in the parent ---------------------------------------------------------------------

    def _serve_metrics(self, **_: object) -> None:
        """The parent exposes what its children count, including children that died."""
        observability.share_metrics()
        with exit_on_error():
            observability.serve_metrics(self._settings, None)

    def _set_up_logging(self, loglevel: int = 0, instance: Any = None, **_: object) -> None:
        """Replaces Celery's own set-up; its --loglevel counts where LOG_LEVEL is not set."""
        if instance is not None and self._settings.log_json:
            instance.quiet = True  # its banner is not JSON
        level = logging.getLevelName(loglevel)
        if "log_level" not in self._settings.model_fields_set and level in _LEVELS:
            self._settings = self._settings.model_copy(update={"log_level": level})
        with exit_on_error():
            observability.set_up_logging(self._settings)

    def _read_queues(self, instance: Any, **_: object) -> None:
        """Claim only tasks of the queues that this worker consumes, as `-Q` says."""
        consumed = instance.app.amqp.queues.consume_from
        self._queues = tuple(name for name in QUEUES if name in consumed)

    def _stop(self, **_: object) -> None:
        self._stopping[0] = 1

    # -- in a child ------------------------------------------------------------------------

    def _start_child(self, **_: object) -> None:
        """Start the worker in a thread, as Celery waits for this function."""
        if self._settings.cloudwatch_log_group:  # its threads do not survive the fork
            observability.set_up_logging(self._settings)
        observability.instrument_celery(self._settings)
        threading.Thread(target=self._run, name="worker", daemon=True).start()

    def _run(self) -> None:
        try:
            process = connect(self._make, self._should_stop)
            if process is None:
                return
            process.start()
            self._release_dead_siblings(process)
        except Exception as error:  # the outermost frame of this thread
            unexpected = None if isinstance(error, TranscriptionError) else error
            reason = str(error) or type(error).__name__
            log.critical("worker_unusable", error=reason, exc_info=unexpected)
            os.kill(os.getppid(), signal.SIGTERM)  # rather than take messages without working
            return
        self._process = process
        self._ready.set()
        threading.Thread(target=self._watch, args=(process,), name="watch", daemon=True).start()
        while not self._should_stop(_POLL_SECONDS):
            pass
        if not process.wind_down():
            log.warning("worker_cut_off", why="the engine did not stop; its task is released")
            os._exit(0)

    def _watch(self, process: WorkerProcess) -> None:
        """
        Work without messages where none comes although tasks are ready.

        The parent may have stopped to receive, as after a lost connection, or another worker may
        hold more messages than it works on.
        """
        overlooked = None
        while not process.stopping.wait(_PATIENCE_SECONDS):
            try:
                before, overlooked = overlooked, self._overlooked(process)
                if overlooked is not None and overlooked == before:
                    log.warning("messages_missing", seconds=_PATIENCE_SECONDS)
                    self._work_off(process)
            except StorageUnavailable as error:
                log.warning("waiting_for_store", error=str(error))
            except Exception:  # the outermost frame of this thread, which goes on
                log.exception("worker_error")

    def _overlooked(self, process: WorkerProcess) -> int | None:
        """Messages received until now, if this child is idle and a task is ready; else None."""
        received = self._received
        return received if not self._slot.locked() and process.has_ready() else None

    def _work_off(self, process: WorkerProcess) -> None:
        """Run tasks while there are any."""
        more = True
        while more:
            with self._slot:
                more = process.work()

    def _make(self) -> WorkerProcess:
        name = str(WorkerName.new(self._token))
        return WorkerProcess(self._settings, self._queue, self._queues, self._make_engines, name)

    def _should_stop(self, seconds: float = 0.0) -> bool:
        """Wait this long; returns whether the worker as a whole is stopping."""
        time.sleep(seconds)
        return self._stopping[0] == 1

    def _release_dead_siblings(self, process: WorkerProcess) -> None:
        """Celery replaces a child that died; the tasks that it held need not wait."""
        try:
            process.release_dead_workers(partial(_is_dead_sibling, self._token))
        except TranscriptionError as error:
            log.warning("release_failed", error=str(error))

    def _close_child(self, **_: object) -> None:
        if self._process is not None:
            self._process.wind_down()
            self._process.close()


def _check_queues(options: dict[str, Any], **_: object) -> None:
    """Refuse a `-Q` for which Celery would print a traceback."""
    named = options.get("queues") or []
    if unknown := set(named.split(",") if isinstance(named, str) else named) - set(QUEUES):
        raise SystemExit(f"-Q {min(unknown)} is not a queue; use {' or '.join(QUEUES)}.")


def _is_dead_sibling(token: str, worker_id: str) -> bool:
    name = parse_worker_name(worker_id)
    if name is None or name.token != token or name.host != socket.gethostname():
        return False
    try:
        os.kill(name.pid, 0)
    except ProcessLookupError:
        return True
    return False
