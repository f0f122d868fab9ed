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

from meet_transcriber.audio.sandbox.forkserver import STARTED
from meet_transcriber.audio.sandbox.protocol import Channel
from meet_transcriber.core.errors import EngineError

DECODER = "meet_transcriber.audio.decoder:PyavDecoder"
PROBER = "meet_transcriber.audio.probe:Prober"
"""Classes for `ChildPool`: the full decoder, and the prober, which needs less memory."""

_MODULE = "meet_transcriber.audio.sandbox.forkserver"
_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR", "TZ")
_ATTEMPTS = 2
_ENDING_SECONDS = 2.0
_STATUS_SECONDS = 10.0
_START_SECONDS = 60.0  # starting Python and FFmpeg from a cold disk is slow
_LEAST_AT_ONCE = 4


class Child:
    """A child process; it lives as long as `lifetime` is open."""

    def __init__(self, channel: Channel, lifetime: socket.socket) -> None:
        self.channel = channel
        self._lifetime = lifetime

    def wait_status(self) -> int | None:
        """Return the exit status of a child that closed its channel; None if unknown."""
        self._lifetime.settimeout(_STATUS_SECONDS)
        with contextlib.suppress(OSError):
            data = self._lifetime.recv(4)
            if len(data) == 4:  # noqa: PLR2004 - an int32
                return int.from_bytes(data, sys.byteorder, signed=True)
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
        self._owner = 0
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._slots = threading.BoundedSemaphore(max(os.cpu_count() or 1, _LEAST_AT_ONCE))

    @property
    def pid(self) -> int | None:
        """The process id of the fork server; None before it is started."""
        return self._process.pid if self._process else None

    @contextmanager
    def child(self) -> Iterator[Child]:
        """
        Start a child; it is killed when the context ends, unless it has ended by itself.

        Raises:
            EngineError: no child can be started.
        """
        with self._slots, contextlib.ExitStack() as stack:
            yield Child(*self._start_child(stack))

    def _start_child(self, stack: contextlib.ExitStack) -> tuple[Channel, socket.socket]:
        """Return channel and lifetime socket of a new child; retry once if the server died."""
        for _ in range(_ATTEMPTS):
            ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
            lifetime, held = (stack.enter_context(end) for end in socket.socketpair())
            lifetime.settimeout(_START_SECONDS)
            with theirs, held, self._lock:
                control = self._connect()
                with contextlib.suppress(OSError):
                    socket.send_fds(control, [b"c"], [theirs.fileno(), held.fileno()])
            with contextlib.suppress(OSError):
                if lifetime.recv(1) == STARTED:
                    return Channel(ours), lifetime
            self._discard_server(control)
        raise EngineError("The process that decodes recordings cannot be started; try again.")

    def _discard_server(self, control: socket.socket) -> None:
        """Forget a fork server that gave no child: it is dead, or it cannot fork."""
        with self._lock:
            if self._control is control:
                self._control = None

    def _connect(self) -> socket.socket:
        """Return the control socket; start the fork server if this process has none."""
        if self._control is None or self._owner != os.getpid():
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = _start_server(self._decoder, theirs)
            self._owner = os.getpid()
            weakref.finalize(self, _stop_server, self._process, self._control, self._owner)
        return self._control


def _start_server(decoder: str, control: socket.socket) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",  # a process with one thread can fork safely
        "OMP_NUM_THREADS": "1",
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    }
    return subprocess.Popen(  # noqa: S603 - the command is our own
        [sys.executable, "-P", "-m", _MODULE, decoder],
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # so that Ctrl-C reaches only this process
    )


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
