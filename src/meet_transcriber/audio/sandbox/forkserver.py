"""The process from which children are forked: it has imported everything, and seen nothing.

Run by `nursery.py` as `python -m meet_transcriber.audio.sandbox.forkserver MODULE:CLASS`; its
stdin is the socket on which orders for children come: a byte, with the child's channel and its
leash. A byte goes up the leash when the child is born, and its status when it has ended; when
the leash is let go, the child is killed; when the socket ends, everything does.
"""

import contextlib
import gc
import importlib
import io
import os
import random
import selectors
import signal
import socket
import struct
import sys
import wave
from types import FrameType
from typing import cast

from meet_transcriber.audio.sandbox.child import MakeDecoder, run_child
from meet_transcriber.core.options import Options
from meet_transcriber.ports.engines import AudioDecoder

STARTED = b"b"
_RATE_HZ = 8000
STATUS = struct.Struct("=i")


class ForkServer:
    """Forks a child for each order and watches over it; has one thread."""

    def __init__(self, control: socket.socket, make_decoder: MakeDecoder) -> None:
        self._control = control
        self._make_decoder = make_decoder
        self._leashes: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._ended, wake = socket.socketpair()
        for end in (self._ended, wake):
            end.setblocking(False)
        self._wake = wake
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._ended, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the socket ends."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._begin():
                        return self._end()
                elif key.fileobj is self._ended:
                    self._reap()
                else:
                    self._let_go(key.data)

    def _begin(self) -> bool:
        order, handles, _, _ = socket.recv_fds(self._control, 1, 2)
        if not order:
            return False
        channel, leash = (socket.socket(fileno=handle) for handle in handles)
        with channel, contextlib.suppress(OSError):  # no room for a process: both just close
            pid = os.fork()
            if pid == 0:
                try:
                    self._become_child(channel, leash)
                finally:  # whatever happens, there is but one template
                    os._exit(1)
            self._leashes[pid] = leash
            self._selector.register(leash, selectors.EVENT_READ, pid)
            leash.send(STARTED)
            return True
        if leash not in self._leashes.values():
            leash.close()
        return True

    def _become_child(self, channel: socket.socket, leash: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for own in (self._control, self._ended, self._wake, leash, *self._leashes.values()):
            own.close()
        discard_output()
        run_child(channel, self._make_decoder)

    def _let_go(self, pid: int) -> None:
        """Kill the child whose leash was let go; it is ours until it is reaped."""
        if pid in self._leashes:
            self._selector.unregister(self._leashes[pid])
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ended.recv(4096)
        while self._leashes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            leash = self._leashes.pop(pid)
            with contextlib.suppress(KeyError):  # it was let go
                self._selector.unregister(leash)
            with leash, contextlib.suppress(OSError):
                leash.send(STATUS.pack(os.waitstatus_to_exitcode(status)))

    def _end(self) -> None:
        signal.set_wakeup_fd(-1)  # its socket is closed before the last child is gone
        for pid in self._leashes:
            os.kill(pid, signal.SIGKILL)


def discard_output() -> None:
    """Nothing that FFmpeg prints gets out: a recording could write lines into our log."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def warm_up(make_decoder: MakeDecoder) -> None:
    """
    Decode two people taking turns, or only look at them, so that no child has to look for a
    module any more.

    A child may not: tests/system/test_media_trace.py sees whether one tries.
    """
    media = io.BytesIO()
    with wave.open(media, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(_RATE_HZ)
        for speaker in (0, 1) * 4:
            loud = random.Random(speaker).randbytes(_RATE_HZ * 2)  # noqa: S311 - noise, no secret
            samples = bytearray(len(loud) * 2)
            for byte in range(2):
                samples[speaker * 2 + byte :: 4] = loud[byte::2]
            writer.writeframes(samples)
    decoder = make_decoder(60.0, io.BytesIO)
    if isinstance(decoder, AudioDecoder):
        decoder.prepare(media, io.BytesIO(), Options(), lambda _: None)
    else:
        decoder.probe(media)


def load_decoder(name: str) -> MakeDecoder:
    """The class that `module:Class` names."""
    module, _, attribute = name.partition(":")
    return cast(MakeDecoder, getattr(importlib.import_module(module), attribute))


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    """Only the wake-up counts."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    control = socket.socket(fileno=os.dup(0))
    make_decoder = load_decoder(sys.argv[1])
    warm_up(make_decoder)
    gc.collect()
    gc.freeze()  # children share these pages for good
    ForkServer(control, make_decoder).run()


if __name__ == "__main__":
    main()
