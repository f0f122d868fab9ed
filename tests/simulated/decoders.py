"""Decoders that do in a child what a hostile recording might bring about."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.working_audio import WorkingAudio
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.ports.engines import AudioSource, Progress

Scratch = Callable[[], BinaryIO]


class Simulated:
    """A decoder whose `misbehave` runs once it is confined; warming up is spared."""

    def __init__(self, max_duration: float, scratch: Scratch) -> None:
        self._real = PyavDecoder(max_duration, scratch)

    def misbehave(self, media: BinaryIO) -> str:
        """What it tries; returns what came of it."""
        raise NotImplementedError

    def probe(self, media: BinaryIO) -> MediaInfo:
        return MediaInfo("wav", self.misbehave(media), 1.0, 16_000, 1)

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        return self._real.prepare(media, working, options, progress)

    def open(self, working: BinaryIO, prepared: PreparedAudio) -> AudioSource:
        return WorkingAudio(working, prepared)


class Forkless(Simulated):
    """Leaves its fork server, which warms up with it, unable to fork."""

    def __init__(self, max_duration: float, scratch: Scratch) -> None:
        def fork() -> int:
            raise BlockingIOError("no process is left")

        vars(os)["fork"] = fork
        super().__init__(max_duration, scratch)


class Greedy(Simulated):
    def misbehave(self, media: BinaryIO) -> str:
        kept = [bytearray(64 << 20) for _ in range(64)]
        return str(len(kept))


class Spinning(Simulated):
    def misbehave(self, media: BinaryIO) -> str:
        while True:
            pass


class Chattering(Simulated):
    """Reports progress and never ends."""

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        while media.seek(0) == 0 and media.read(5) == b"SPEAK":  # not while warming up
            progress(0.1)
            time.sleep(0.05)
        return super().prepare(media, working, options, progress)


class Dozing(Simulated):
    """Sleeps over recordings that say so."""

    def misbehave(self, media: BinaryIO) -> str:
        if media.read(5) == b"SLEEP":
            time.sleep(600)
        return "woke up"


class Sleeping(Simulated):
    def misbehave(self, media: BinaryIO) -> str:
        time.sleep(600)
        return "woke up"

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        if media.read(5) == b"SLEEP":
            self.misbehave(media)
        return super().prepare(media, working, options, progress)


class Crashing(Simulated):
    def misbehave(self, media: BinaryIO) -> str:
        ctypes.string_at(1)
        return "unhurt"


class Raising(Simulated):
    def misbehave(self, media: BinaryIO) -> str:
        raise ZeroDivisionError("secret words of the recording")


class Leaving(Simulated):
    def misbehave(self, media: BinaryIO) -> str:
        os._exit(0)


class Boastful(Simulated):
    """Tells what cannot be."""

    def probe(self, media: BinaryIO) -> MediaInfo:
        told = media.read().decode()
        return MediaInfo("x" * 300 if told == "name" else "wav", "pcm", 1.0, 16_000, 64)


class Curious(Simulated):
    """Tries what the recording names, and tells which error came of it."""

    def misbehave(self, media: BinaryIO) -> str:
        name = media.read().decode()
        try:
            ATTEMPTS[name]()
        except (OSError, LookupError) as error:  # a codec of its own for names is not there
            return f"refused: {type(error).__name__}"
        return "it worked"


def _system_call(name: str, *arguments: object) -> None:
    """Past every hook of Python's."""
    if getattr(_C, name)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


_C = ctypes.CDLL(None, use_errno=True)
_FLAGS = os.O_CREAT | os.O_WRONLY
_SPACE = (None, 4096, 7, 0x22, -1, 0)  # readable, writable, executable; private, anonymous

ATTEMPTS: dict[str, Callable[[], object]] = {
    "read a file": lambda: Path("/etc/passwd").read_bytes(),
    "read a file by the system": lambda: _system_call("open", b"/etc/passwd", 0),
    "write a file": lambda: Path("/tmp/left-behind").write_bytes(b"x"),
    "write a file by the system": lambda: _system_call("open", b"/tmp/left-behind", _FLAGS, 420),
    "look for a file": lambda: _system_call("access", b"/etc/passwd", 0),
    "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "make a socket by the system": lambda: _system_call("socket", 2, 1, 0),
    "connect to a host": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    "run a program": lambda: subprocess.run(["/bin/true"], check=True),
    "run a program by the system": lambda: _system_call("execve", b"/bin/true", None, None),
    "fork": lambda: _system_call("fork"),
    "kill its parent": lambda: _system_call("kill", os.getppid(), int(signal.SIGKILL)),
    "trace another process": lambda: _system_call("ptrace", 16, os.getppid(), None, None),
    "map code that can run": lambda: _system_call("mmap", *_SPACE),
}
