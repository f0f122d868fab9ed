"""What a child may use of this machine."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass

from meet_transcriber.audio.sandbox import seccomp

_PR_SET_PDEATHSIG = 1
_OPEN_FILES = 16
_HARD_CPU_SECONDS = 5


@dataclass(frozen=True)
class Limits:
    """
    Attributes:
        memory_bytes: of address space, the program itself included.
        cpu_seconds: of computing time.
        file_bytes: of each file it writes.
    """

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int


def confine(limits: Limits) -> bool:
    """
    Give up, for good, what decoding does not need.

    What a system does not know is left out; docs/security.md says what protects where.
    Returns whether the kernel refuses all else.
    """
    filtered = False
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", _OPEN_FILES)
    _limit("RLIMIT_NPROC", 0)
    _limit("RLIMIT_FSIZE", limits.file_bytes)
    _limit("RLIMIT_CPU", limits.cpu_seconds, limits.cpu_seconds + _HARD_CPU_SECONDS)
    _limit("RLIMIT_AS", limits.memory_bytes)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        filtered = seccomp.install()
    sys.addaudithook(_refuse)
    return filtered


def _limit(name: str, soft: int, hard: int | None = None) -> None:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        kind = getattr(resource, name)
        most = resource.getrlimit(kind)[1]
        ends = [soft if hard is None else hard, soft]
        if most != resource.RLIM_INFINITY:
            ends = [min(end, most) for end in ends]
        resource.setrlimit(kind, (ends[1], ends[0]))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: Python's own doors stay shut where the kernel would leave them open."""
    named = event == "open" and not isinstance(arguments[0], int)
    if named or event.startswith(("socket.connect", "socket.__new__", "subprocess.", "os.exec")):
        raise PermissionError(f"{event} is not for a process that decodes")
    if event in {"os.fork", "os.posix_spawn", "os.system", "ctypes.dlopen"}:
        raise PermissionError(f"{event} is not for a process that decodes")


def protections() -> tuple[str, ...]:
    """What holds a child on this system, by name."""
    named = ["memory", "cpu", "files", "audit"]
    if sys.platform == "linux" and os.uname().machine in seccomp.ARCHITECTURES:
        named.append("seccomp")
    return tuple(named)
