"""The queue of a single machine: the store is the list, and a pipe wakes the worker."""

import contextlib
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from meet_transcriber.core.errors import StorageUnavailable, TranscriptionError
from meet_transcriber.core.workers import WorkerName
from meet_transcriber.observability.logging import get_logger

log = get_logger(__name__)

OnDeath = Callable[[str], None]
"""Called with the id of a worker that ended unexpectedly, before another one starts."""

ELECTION_SECONDS = 1.0
GRACE_SECONDS = 10.0
_BACKOFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_HEALTHY_SECONDS = 60.0
_RETRY_SECONDS = 2.0


class WorkerSupervisor:
    """
    Keeps one worker process running, in whichever of several API processes is elected.

    The process that holds the lock file is elected. The child inherits the lock, so another
    process is elected only after both are dead, and finds the id of the dead worker in the file.
    The child's stdin is a pipe: a byte wakes the worker, its end stops it. So the child of a
    supervisor that was killed stops by itself.
    """

    def __init__(
        self,
        command: Callable[[str], Sequence[str]],
        lock: Path,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """
        Args:
            command: from the id of a new worker to a program and its arguments.
            lock: a file on a local disk, in an existing folder.
            grace_seconds: how long the child may take to stop before it is killed.
        """
        self._command = command
        self._path = lock
        self._grace_seconds = grace_seconds
        self._closing = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._child_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.problem = ""
        """Why no worker can be started; empty where nothing is known to be wrong."""

    def start(self, on_death: OnDeath) -> None:
        """Take part in the election from now on."""
        self._thread = threading.Thread(
            target=self._run, args=(on_death,), name="supervisor", daemon=True
        )
        self._thread.start()

    @property
    def child(self) -> int | None:
        """Process id of the child; None where another process supervises it."""
        return self._child.pid if self._child is not None else None

    def notify(self) -> None:
        """Wake the child; never blocks, and does nothing without a child."""
        with self._child_lock, contextlib.suppress(OSError):  # full: a wake-up is pending already
            if self._child is not None and self._child.stdin is not None:
                os.write(self._child.stdin.fileno(), b"\n")

    def close(self) -> None:
        """Stop the child gracefully, or kill it after the grace time."""
        self._closing.set()
        if self._thread is None:
            return
        self._stop_child(subprocess.Popen.terminate)
        self._thread.join(self._grace_seconds)
        self._stop_child(subprocess.Popen.kill)
        self._thread.join()

    def _stop_child(self, stop: Callable[[subprocess.Popen[bytes]], None]) -> None:
        with self._child_lock:
            child = self._child
            if child is not None:
                if child.stdin is not None:
                    child.stdin.close()
                    child.stdin = None
                stop(child)

    # -- the thread ------------------------------------------------------------------------

    def _run(self, on_death: OnDeath) -> None:
        while not self._closing.is_set():
            try:
                # private, or any user of the machine could lock it
                file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                with os.fdopen(file, "a+b") as lock:
                    self._supervise(lock, on_death)
            except Exception as error:  # the outermost frame of this thread, which must go on
                problem = f"No worker can be started: {error}."
                if problem != self.problem:  # else every retry would be logged
                    log.exception("supervisor_failed", retry_seconds=_RETRY_SECONDS)
                self.problem = problem
                self._closing.wait(_RETRY_SECONDS)

    def _supervise(self, lock: BinaryIO, on_death: OnDeath) -> None:
        while not self._acquire(lock):
            if self._closing.wait(ELECTION_SECONDS):
                return
        lock.seek(0)
        if predecessor := lock.read().decode("ascii", "replace").strip():
            self._report(on_death, predecessor)
        self._keep_running(lock, on_death)
        _write(lock, "")

    def _acquire(self, lock: BinaryIO) -> bool:
        """Whether this process is elected."""
        acquired = False
        with contextlib.suppress(BlockingIOError):  # another process has it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            acquired = True
        self.problem = ""
        return acquired

    def _keep_running(self, lock: BinaryIO, on_death: OnDeath) -> None:
        deaths = 0
        while not self._closing.is_set():
            worker = str(WorkerName.new())
            started = time.monotonic()
            code = self._run_child(lock, worker)
            if self._closing.is_set():
                return
            if time.monotonic() - started > _HEALTHY_SECONDS:
                deaths = 0
            pause = _BACKOFF_SECONDS[min(deaths, len(_BACKOFF_SECONDS) - 1)]
            deaths += 1
            log.warning("worker_died", worker=worker, code=code, restart_seconds=pause)
            self._report(on_death, worker)
            self._closing.wait(pause)

    def _run_child(self, lock: BinaryIO, worker: str) -> int:
        """Start a child and wait until it ends; returns its exit code."""
        _write(lock, worker)
        try:
            child = self._spawn(lock, worker)
        except OSError as error:
            log.error("worker_not_started", error=str(error))  # noqa: TRY400 - no traceback needed
            return -1
        if child is None:
            return 0
        code = child.wait()
        with self._child_lock:
            self._child = None
            if child.stdin is not None:
                child.stdin.close()
        return code

    def _spawn(self, lock: BinaryIO, worker: str) -> "subprocess.Popen[bytes] | None":
        with self._child_lock:
            if self._closing.is_set():
                return None
            self._child = child = subprocess.Popen(  # noqa: S603 - our own command
                self._command(worker),
                stdin=subprocess.PIPE,
                bufsize=0,
                pass_fds=(lock.fileno(),),
                start_new_session=True,  # Ctrl-C reaches this process, which stops the child
            )
            assert child.stdin is not None  # noqa: S101 - stdin is a PIPE
            os.set_blocking(child.stdin.fileno(), False)
            return child

    def _report(self, on_death: OnDeath, worker: str) -> None:
        try:
            on_death(worker)
        except TranscriptionError as error:  # then its leases expire
            log.warning("release_failed", worker=worker, error=str(error))


def _write(lock: BinaryIO, worker: str) -> None:
    lock.truncate(0)
    lock.write(worker.encode())
    lock.flush()


class EmbeddedQueue:
    """
    A JobQueue whose worker polls the store, and at once when notified.

    Without a supervisor, as in the worker and in an API process that does not run one, the worker
    finds work at its next poll.
    """

    def __init__(self, supervisor: WorkerSupervisor | None = None) -> None:
        self._supervisor = supervisor

    def start(self, on_death: OnDeath) -> None:
        """Start the worker, where there is a supervisor."""
        if self._supervisor is not None:
            self._supervisor.start(on_death)

    def notify(self, queue: str, job_id: str, task: str) -> None:  # noqa: ARG002 - of the port
        if self._supervisor is not None:
            self._supervisor.notify()

    def length(self, queue: str) -> int:  # noqa: ARG002 - of the port
        return 0

    def ping(self) -> None:
        if self._supervisor is not None and self._supervisor.problem:
            raise StorageUnavailable(self._supervisor.problem)

    def close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.close()
