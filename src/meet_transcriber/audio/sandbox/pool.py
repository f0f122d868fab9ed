"""Starts the fork server and gets child processes from it."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from meet_transcriber.audio.sandbox.forkserver import STARTED, STATUS
from meet_transcriber.audio.sandbox.protocol import Channel
from meet_transcriber.core.errors import EngineError

DECODER = "meet_transcriber.audio.decoder:PyavDecoder"
PROBER = "meet_transcriber.audio.probe:Prober"
"""Classes for `ChildPool`: the full decoder, and the prober, which needs less memory."""

_MODULE = "meet_transcriber.audio.sandbox.forkserver"
_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR", "TZ")
_ATTEMPTS = 2
_ENDING_SECONDS = 2.0
_DYING_SECONDS = 0.5  # a server that closed its sockets is gone by then, unless it is alive
_STATUS_SECONDS = 10.0
_START_SECONDS = 60.0  # starting Python and FFmpeg from a cold disk is slow
_LEAST_AT_ONCE = 4
_CANNOT_START = "The process that decodes recordings cannot be started; try again."


class Child:
    """A child process; it lives as long as `lifetime` is open."""

    def __init__(self, channel: Channel, lifetime: socket.socket) -> None:
        self.channel = channel
        self._lifetime = lifetime

    def wait_status(self) -> int | None:
        """Return the exit status of a child that closed its channel; None if unknown."""
        self._lifetime.settimeout(_STATUS_SECONDS)
        with contextlib.suppress(OSError):
            data = self._lifetime.recv(STATUS.size)
            if len(data) == STATUS.size:
                return int(STATUS.unpack(data)[0])
        return None


class ChildPool:
    """
    Starts the fork server when the first child is requested, and again when it died.

    The fork server gets no environment variable that could hold a secret and no open file but
    its control socket, so it and its children end with this process, however this one ends.
    Each process that uses a pool has its own fork server, forked processes too.
    """

    def __init__(self, decoder: str) -> None:
        """
        Args:
            decoder: `module:Class` of the decoder that children use.
        """
        self._decoder = decoder
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._slots = threading.BoundedSemaphore(max(os.cpu_count() or 1, _LEAST_AT_ONCE))

    @property
    def pid(self) -> int | None:
        """The process id of the fork server; None before it is started."""
        return self._server.process.pid if self._server else None

    @contextmanager
    def child(self) -> Iterator[Child]:
        """
        Start a child; it is killed when the context ends, unless it has ended by itself.

        Raises:
            EngineError: no child can be started.
        """
        with self._slots, contextlib.ExitStack() as stack:
            try:
                started = self._start_child(stack)
            except OSError as error:  # no memory, process or file descriptor is left
                raise EngineError(_CANNOT_START) from error
            yield started

    def _start_child(self, stack: contextlib.ExitStack) -> Child:
        """Ask the fork server for a child; a second time if the server has died."""
        for _ in range(_ATTEMPTS):
            ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
            lifetime, held = (stack.enter_context(end) for end in socket.socketpair())
            lifetime.settimeout(_START_SECONDS)
            with theirs, held, self._lock:
                server = self._running_server()
                with contextlib.suppress(OSError):
                    socket.send_fds(server.control, [b"c"], [theirs.fileno(), held.fileno()])
            try:
                with contextlib.suppress(ConnectionError):
                    if lifetime.recv(1) == STARTED:
                        return Child(Channel(ours), lifetime)
            except TimeoutError:
                server.process.kill()
            self._discard_dead(server)
        raise EngineError(_CANNOT_START)

    def _running_server(self) -> "_Server":
        """Return the fork server of this process; starts it if there is none."""
        if self._server is not None and self._server.owner != os.getpid():
            self._server.forget()  # a forked process has inherited it
            self._server = None
        if self._server is None:
            self._server = _Server(self, self._decoder)
        return self._server

    def _discard_dead(self, server: "_Server") -> None:
        """Forget a fork server that has died; one that only cannot fork now keeps its children."""
        with self._lock:
            if self._server is server:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.process.wait(_DYING_SECONDS)
                    server.forget()
                    self._server = None


class _Server:
    """A running fork server, which is stopped when its pool is deleted or this process exits."""

    def __init__(self, pool: ChildPool, decoder: str) -> None:
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OPENBLAS_NUM_THREADS": "1",  # a process with one thread can fork safely
            "OMP_NUM_THREADS": "1",
            "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        }
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - the command is our own
                [sys.executable, "-P", "-m", _MODULE, decoder],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # so that Ctrl-C reaches only this process
            )
        self._stop = weakref.finalize(pool, _stop_server, self.process, self.control, self.owner)

    def forget(self) -> None:
        """Close the control socket, for a server that has ended or is of another process."""
        self._stop.detach()
        self.control.close()


def _stop_server(process: subprocess.Popen[bytes], control: socket.socket, owner: int) -> None:
    if os.getpid() != owner:
        return
    control.close()
    try:
        process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@cache
def shared_pool(decoder: str) -> ChildPool:
    """Return this process's pool for DECODER or PROBER."""
    return ChildPool(decoder)
