"""
The fork server and its children, each of which handles one recording.

The server has imported everything that children need, and has seen no media and no secret.
`client.py` runs it as `python -m meet_transcriber.audio.sandbox.forkserver MODULE:CLASS`; its stdin
is the control socket. A request for a child is one byte, with the child's channel and its lifetime
socket. The server writes a byte to the lifetime socket when the child has started and its exit
status when it has ended. The child is killed when the other end of the lifetime socket closes; all
children and the server end when the control socket closes.
"""

import contextlib
import errno
import gc
import importlib
import io
import json
import os
import random
import selectors
import signal
import socket
import sys
import wave
from collections.abc import Callable
from typing import BinaryIO, cast

from meet_transcriber.audio.sandbox import protocol
from meet_transcriber.audio.sandbox.confinement import confine
from meet_transcriber.audio.sandbox.protocol import (
    STARTED,
    STATUS,
    Channel,
    ChannelClosed,
    Limits,
    open_remote,
)
from meet_transcriber.core.errors import InvalidAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.serialization import from_plain, to_plain
from meet_transcriber.ports.engines import AudioDecoder, AudioProber

MakeDecoder = Callable[[float, Callable[[], BinaryIO]], AudioProber]
"""Takes the maximum duration in seconds and a function that returns a scratch file."""

_RATE_HZ = 8000
_MAX_FILES = 3  # the recording, the working audio, a scratch file


class ForkServer:
    """Forks a child per request and waits for it; single-threaded."""

    def __init__(self, control: socket.socket, make_decoder: MakeDecoder) -> None:
        self._control = control
        self._make_decoder = make_decoder
        self._lifetimes: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._ended, wake = socket.socketpair()
        for end in (self._ended, wake):
            end.setblocking(False)
        self._wake = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the wake-up descriptor does the work
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._ended, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the control socket closes."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._start_child():
                        signal.set_wakeup_fd(-1)  # its socket closes before the last child ends
                        for pid in self._lifetimes:
                            os.kill(pid, signal.SIGKILL)
                        return
                elif key.fileobj is self._ended:
                    self._reap()
                else:
                    self._kill(key.data)

    def _start_child(self) -> bool:
        request, handles, _, _ = socket.recv_fds(self._control, 1, 2)
        if not request:
            return False
        channel, lifetime = (socket.socket(fileno=handle) for handle in handles)
        with channel:
            try:
                pid = os.fork()
            except OSError:  # both sockets close, which the client notices
                lifetime.close()
                return True
            if pid == 0:
                status = 1
                try:
                    self._close(lifetime)
                    discard_output()
                    _run(Channel(channel), self._make_decoder)
                    status = 0
                finally:  # a child must never return into the loop of the server
                    os._exit(status)
            self._lifetimes[pid] = lifetime
            self._selector.register(lifetime, selectors.EVENT_READ, pid)
            with contextlib.suppress(OSError):  # the client has given up
                lifetime.send(STARTED)
        return True

    def _close(self, lifetime: socket.socket) -> None:
        """Close, in a child, what belongs to the server."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for own in (self._control, self._ended, self._wake, lifetime, *self._lifetimes.values()):
            own.close()

    def _kill(self, pid: int) -> None:
        """Kill the child whose lifetime socket closed; its pid is valid until it is reaped."""
        if pid in self._lifetimes:
            self._selector.unregister(self._lifetimes[pid])
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ended.recv(4096)
        while self._lifetimes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            lifetime = self._lifetimes.pop(pid)
            with contextlib.suppress(KeyError):  # already unregistered by _kill
                self._selector.unregister(lifetime)
            with lifetime, contextlib.suppress(OSError):
                lifetime.send(STATUS.pack(os.waitstatus_to_exitcode(status)))


def _run(channel: Channel, make_decoder: MakeDecoder) -> None:
    """Receive one request, handle it under its limits and reply."""
    frame, handles = channel.receive_request(_MAX_FILES)
    request = json.loads(frame.data)
    split = len(handles) - request["writable"]
    readable = [os.fdopen(handle, "rb") for handle in handles[:split]]
    writable = [os.fdopen(handle, "r+b") for handle in handles[split:]]
    media = readable[0] if readable else open_remote(channel, request["size"])
    decoder = make_decoder(request["max_duration"], lambda: writable[1])
    # From here on the child can open and connect nothing; what it needs was passed to it.
    if not confine(Limits(**request["limits"])):
        channel.send(protocol.UNFILTERED)
    try:
        if writable:
            options = from_plain(Options, request["options"])
            _prepare(channel, cast(AudioDecoder, decoder), media, writable[0], options)
        else:
            _send(channel, decoder.probe(media))
    # There is nobody to tell.
    except ChannelClosed:
        raise
    except BaseException as error:  # noqa: BLE001 - the outermost frame of a child
        channel.send(protocol.FAILED, json.dumps(_describe(error)).encode())


def _prepare(
    channel: Channel, decoder: AudioDecoder, media: BinaryIO, working: BinaryIO, options: Options
) -> None:
    def progress(share: float) -> None:
        channel.send(protocol.SHARE, repr(float(share)).encode())

    prepared, peaks = decoder.prepare(media, working, options, progress)
    working.flush()
    channel.send(protocol.PEAKS, bytes([peaks.per_second]) + peaks.data)
    _send(channel, prepared)


def _send(channel: Channel, result: object) -> None:
    channel.send(protocol.RESULT, json.dumps(to_plain(result)).encode())


def _describe(error: BaseException) -> dict[str, str]:
    """Return an error as code and message; the message of our own errors is kept."""
    if isinstance(error, InvalidAudio):
        return {"code": error.code, "message": str(error)}
    if isinstance(error, MemoryError):
        return {"code": protocol.OUT_OF_MEMORY, "message": ""}
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return {"code": protocol.DISK_FULL, "message": ""}
    return {"code": protocol.BROKEN, "message": f"{type(error).__name__}: {error}"}


def discard_output() -> None:
    """Redirect the standard streams to /dev/null, or a recording could write to our log."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def warm_up(make_decoder: MakeDecoder) -> None:
    """
    Decode or probe a generated recording, so that every module is imported before a child starts.

    A confined child cannot import; tests/system/test_media_trace.py checks that none tries.
    """
    media = io.BytesIO()
    with wave.open(media, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(_RATE_HZ)
        for speaker in (0, 1) * 4:
            loud = random.Random(speaker).randbytes(_RATE_HZ * 2)  # noqa: S311 - noise, not a secret
            samples = bytearray(len(loud) * 2)
            for byte in range(2):
                samples[speaker * 2 + byte :: 4] = loud[byte::2]
            writer.writeframes(samples)
    decoder = make_decoder(60.0, io.BytesIO)
    if isinstance(decoder, AudioDecoder):
        decoder.prepare(media, io.BytesIO(), Options(), lambda _: None)
    else:
        decoder.probe(media)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    control = socket.socket(fileno=os.dup(0))
    module, _, name = sys.argv[1].partition(":")
    make_decoder: MakeDecoder = getattr(importlib.import_module(module), name)
    warm_up(make_decoder)
    gc.collect()
    gc.freeze()  # keep pages shared with children
    ForkServer(control, make_decoder).run()


if __name__ == "__main__":
    main()
