"""Where children come from: our end of the template process."""

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
"""What children are made for: all work, or a look at a recording, which needs less."""

_MODULE = "meet_transcriber.audio.sandbox.forkserver"
_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR", "TZ")
_ATTEMPTS = 2
_ENDING_SECONDS = 2.0
_STATUS_SECONDS = 10.0
_BIRTH_SECONDS = 60.0  # a cold disk takes its time to give a Python and FFmpeg
_LEAST_AT_ONCE = 4


class Child:
    """A child, for as long as we hold its leash."""

    def __init__(self, channel: Channel, leash: socket.socket) -> None:
        self.channel = channel
        self._leash = leash

    def status(self) -> int | None:
        """How a child that closed its channel ended: as `subprocess` tells it; None unknown."""
        self._leash.settimeout(_STATUS_SECONDS)
        with contextlib.suppress(OSError):
            data = self._leash.recv(4)
            if len(data) == 4:  # noqa: PLR2004 - an int32
                return int.from_bytes(data, sys.byteorder, signed=True)
        return None


class ChildPool:
    """
    Starts the template process when a child is first wanted, and again when it died.

    The template has no part of our environment that could hold a secret, and of our open
    files none but its socket: when we end, however we do, it ends and so do its children.
    Each process that uses a nursery has a template of its own, forked processes too.
    """

    def __init__(self, decoder: str) -> None:
        """
        Args:
            decoder: `module:Class` of what children decode with.
        """
        self._decoder = decoder
        self._lock = threading.Lock()
        self._owner = 0
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._places = threading.BoundedSemaphore(max(os.cpu_count() or 1, _LEAST_AT_ONCE))

    @property
    def pid(self) -> int | None:
        """The process id of the template; None before there is one."""
        return self._process.pid if self._process else None

    @contextmanager
    def child(self) -> Iterator[Child]:
        """
        A new child; it is killed when the context ends, unless it has ended itself.

        Raises:
            EngineError: none can be started.
        """
        with self._places, contextlib.ExitStack() as stack:
            yield Child(*self._born(stack))

    def _born(self, stack: contextlib.ExitStack) -> tuple[Channel, socket.socket]:
        """Channel and leash of a new child, by another template where one died meanwhile."""
        for _ in range(_ATTEMPTS):
            ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
            leash, held = (stack.enter_context(end) for end in socket.socketpair())
            leash.settimeout(_BIRTH_SECONDS)
            with theirs, held, self._lock:
                control = self._running()
                with contextlib.suppress(OSError):
                    socket.send_fds(control, [b"c"], [theirs.fileno(), held.fileno()])
            with contextlib.suppress(OSError):
                if leash.recv(1) == STARTED:
                    return Channel(ours), leash
            self._give_up(control)
        raise EngineError("The process that decodes recordings cannot be started; try again.")

    def _give_up(self, control: socket.socket) -> None:
        """Let a template go that has no child for us: it is dead, or there is no room."""
        with self._lock:
            if self._control is control:
                self._control = None

    def _running(self) -> socket.socket:
        if self._control is None or self._owner != os.getpid():
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = _start(self._decoder, theirs)
            self._owner = os.getpid()
            weakref.finalize(self, _end, self._process, self._control, self._owner)
        return self._control


def _start(decoder: str, control: socket.socket) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",  # so that it has one thread, and may fork
        "OMP_NUM_THREADS": "1",
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    }
    return subprocess.Popen(  # noqa: S603 - the command is our own
        [sys.executable, "-P", "-m", _MODULE, decoder],
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C goes to us
    )


def _end(process: subprocess.Popen[bytes], control: socket.socket, owner: int) -> None:
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
    """The nursery of this process for DECODER or PROBER."""
    return ChildPool(decoder)
