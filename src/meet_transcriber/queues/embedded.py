"""The queue of a single machine: no messages, only a bell; the store itself is the list."""

import contextlib
import fcntl
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from meet_transcriber.core.errors import TranscriptionError
from meet_transcriber.core.workers import WorkerName
from meet_transcriber.observability.logging import get_logger

log = get_logger(__name__)

ELECTION_SECONDS = 1.0
GRACE_SECONDS = 10.0
_BACKOFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_HEALTHY_SECONDS = 60.0


class WorkerSupervisor:
    """
    Starts a command again whenever it ends, in whichever of several processes was elected.

    Who holds the lock file is elected. The child inherits the lock, so there is a successor
    only when both are dead, and the successor finds in the file which worker that was.
    The child's stdin is a pipe: a byte means "look", its end means "finish". So the child of
    a supervisor that was killed ends by itself.
    """

    def __init__(
        self,
        command: Callable[[str], Sequence[str]],
        lock: Path,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """
        Args:
            command: from the id of the new worker to the program and its arguments.
            lock: a file on a disk of this machine, in a folder that exists.
            grace_seconds: how long the child may take to end before it is killed.
        """
        self._command = command
        self._path = lock
        self._grace_seconds = grace_seconds
        self._over = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, died: Callable[[str], None]) -> None:
        """
        Stand for election from now on.

        Args:
            died: hears the id of a worker that ended without being asked to, before another
                one is started.
        """
        self._thread = threading.Thread(
            target=self._run, args=(died,), name="supervisor", daemon=True
        )
        self._thread.start()

    @property
    def child(self) -> int | None:
        """The process id of the child; None where another process supervises it."""
        return self._child.pid if self._child is not None else None

    def ring(self) -> None:
        """Let the child look for work; never waits, and does nothing where there is no child."""
        with self._pipe, contextlib.suppress(OSError):  # full: it has enough to hear already
            if self._child is not None and self._child.stdin is not None:
                os.write(self._child.stdin.fileno(), b"\n")

    def close(self) -> None:
        """End the child in good order, or by force after the grace time."""
        self._over.set()
        if self._thread is None:
            return
        self._hang_up(subprocess.Popen.terminate)
        self._thread.join(self._grace_seconds)
        self._hang_up(subprocess.Popen.kill)
        self._thread.join()

    def _hang_up(self, end: Callable[[subprocess.Popen[bytes]], None]) -> None:
        with self._pipe:
            child = self._child
            if child is not None:
                if child.stdin is not None:
                    child.stdin.close()
                    child.stdin = None
                end(child)

    # -- the thread ------------------------------------------------------------------------

    def _run(self, died: Callable[[str], None]) -> None:
        with self._path.open("a+b") as lock:
            if self._elected(lock):
                if predecessor := _read(lock):
                    self._tell(died, predecessor)
                self._keep_alive(lock, died)
                _write(lock, "")

    def _elected(self, lock: BinaryIO) -> bool:
        while not self._over.is_set():
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            self._over.wait(ELECTION_SECONDS)
        return False

    def _keep_alive(self, lock: BinaryIO, died: Callable[[str], None]) -> None:
        deaths = 0
        while not self._over.is_set():
            worker = str(WorkerName(socket.gethostname(), os.getpid(), secrets.token_hex(4)))
            started = time.monotonic()
            code = self._live(lock, worker)
            if self._over.is_set():
                return
            if time.monotonic() - started > _HEALTHY_SECONDS:
                deaths = 0
            pause = _BACKOFF_SECONDS[min(deaths, len(_BACKOFF_SECONDS) - 1)]
            deaths += 1
            log.warning("worker_died", worker=worker, code=code, restart_seconds=pause)
            self._tell(died, worker)
            self._over.wait(pause)

    def _live(self, lock: BinaryIO, worker: str) -> int:
        """One child from its start to its end; returns its exit code."""
        _write(lock, worker)
        try:
            child = self._spawn(lock, worker)
        except OSError as error:
            log.error("worker_not_started", error=str(error))  # noqa: TRY400 - the reason says it all
            return -1
        if child is None:
            return 0
        code = child.wait()
        with self._pipe:
            self._child = None
            if child.stdin is not None:
                child.stdin.close()
        return code

    def _spawn(self, lock: BinaryIO, worker: str) -> "subprocess.Popen[bytes] | None":
        with self._pipe:
            if self._over.is_set():
                return None
            self._child = child = subprocess.Popen(  # noqa: S603 - the command is our own
                self._command(worker),
                stdin=subprocess.PIPE,
                bufsize=0,
                pass_fds=(lock.fileno(),),
                start_new_session=True,  # Ctrl-C goes to us, and from us to the child
            )
            assert child.stdin is not None  # noqa: S101 - PIPE was asked for
            os.set_blocking(child.stdin.fileno(), False)
            return child

    def _tell(self, died: Callable[[str], None], worker: str) -> None:
        try:
            died(worker)
        except TranscriptionError as error:  # then its leases run out
            log.warning("burial_failed", worker=worker, error=str(error))


def _read(lock: BinaryIO) -> str:
    lock.seek(0)
    return lock.read().decode("ascii", "replace").strip()


def _write(lock: BinaryIO, worker: str) -> None:
    lock.truncate(0)
    lock.write(worker.encode())
    lock.flush()


class WorkerBell(Protocol):
    """What keeps the worker alive and can wake it."""

    def start(self, died: Callable[[str], None]) -> None: ...

    def ring(self) -> None: ...

    def close(self) -> None: ...


class EmbeddedQueue:
    """
    A JobQueue whose worker looks into the store by itself, and at once when the bell rings.

    Without a bell, as in the worker and in an API process that does not supervise it, work is
    found at the worker's next look.
    """

    def __init__(self, bell: WorkerBell | None = None) -> None:
        self._bell = bell

    def start(self, died: Callable[[str], None]) -> None:
        """Have a worker from now on; `died` hears the id of one that ended unexpectedly."""
        if self._bell is not None:
            self._bell.start(died)

    def nudge(self, queue: str, job_id: str, task: str) -> None:  # noqa: ARG002 - as ports has it
        if self._bell is not None:
            self._bell.ring()

    def length(self, queue: str) -> int:  # noqa: ARG002 - as ports has it
        return 0

    def ping(self) -> None:
        return

    def close(self) -> None:
        if self._bell is not None:
            self._bell.close()
