"""Confines a decoding process: resource limits, a system call filter and an audit hook."""

import contextlib
import ctypes
import errno
import os
import resource
import signal
import struct
import sys

from meet_transcriber.audio.sandbox.protocol import Limits

# name: number on x86_64, on aarch64
_CALLS = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "pread64": (17, 67),
    "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66), "sched_yield": (24, 124),
    "mremap": (25, 216), "madvise": (28, 233), "nanosleep": (35, 101), "getpid": (39, 172),
    "sendto": (44, 206), "recvfrom": (45, 207), "exit": (60, 93), "fsync": (74, 82),
    "ftruncate": (77, 46), "gettimeofday": (96, 169), "getrusage": (98, 165),
    "sigaltstack": (131, 132), "gettid": (186, 178), "futex": (202, 98),
    "restart_syscall": (219, 128), "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115), "exit_group": (231, 94), "set_robust_list": (273, 99),
    "getrandom": (318, 278), "membarrier": (324, 283), "rseq": (334, 293),
}  # fmt: skip
_MAPPING = {"mmap": (9, 222), "mprotect": (10, 226)}  # without PROT_EXEC
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""`uname -m` to the column above and AUDIT_ARCH of <linux/audit.h>."""

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # <linux/bpf_common.h>
_NUMBER, _ARCH, _THIRD_ARGUMENT = 0, 4, 32  # offsets in struct seccomp_data
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_PROT_EXEC = 4
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_seccomp_filter() -> bool:
    """
    Have the kernel refuse all system calls but those that decoding needs; see seccomp(2).

    Without `open`, `socket`, `execve`, `clone` and the like, neither FFmpeg nor code that took
    it over can reach a file, a host or a process that was not passed in. Without
    `sched_getaffinity` FFmpeg sees one CPU and starts no threads. No privileges are needed once
    PR_SET_NO_NEW_PRIVS is set.

    Returns whether the filter is installed.
    """
    if os.uname().machine not in ARCHITECTURES:
        return False
    code = _program(*ARCHITECTURES[os.uname().machine])
    program = _Program(len(code) // 8, code)
    control = ctypes.CDLL(None, use_errno=True).prctl
    if control(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(control(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _program(column: int, architecture: int) -> bytes:
    steps = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, architecture, otherwise=0, then=1),
        _step(_RETURN, _REFUSE),
        _step(_LOAD, _NUMBER),
    ]
    for numbers in _MAPPING.values():
        steps += [
            _step(_EQUAL, numbers[column], then=0, otherwise=4),
            _step(_LOAD, _THIRD_ARGUMENT),
            _step(_ANY_BIT, _PROT_EXEC, then=1, otherwise=0),
            _step(_RETURN, _ALLOW),
            _step(_RETURN, _REFUSE),
        ]
    for numbers in _CALLS.values():
        steps += [_step(_EQUAL, numbers[column], then=0, otherwise=1), _step(_RETURN, _ALLOW)]
    return b"".join([*steps, _step(_RETURN, _REFUSE)])


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """Return one struct sock_filter; `then` and `otherwise` are numbers of steps to skip."""
    return struct.pack("<HBBI", code, then, otherwise, value)


_PR_SET_PDEATHSIG = 1
_OPEN_FILES = 16
_HARD_CPU_SECONDS = 5
_REFUSED_EVENTS = (
    *("socket.connect", "socket.__new__", "subprocess.", "os.exec", "os.fork"),
    *("os.posix_spawn", "os.system", "ctypes.dlopen"),
)


def confine(limits: Limits) -> bool:
    """
    Irrevocably drop what decoding does not need.

    Mechanisms that the system lacks are skipped; docs/security.md lists what applies where.
    Returns whether the system call filter is installed.
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
        filtered = install_seccomp_filter()
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
    """An audit hook that refuses what the kernel would allow on systems without seccomp."""
    opens_path = event == "open" and not isinstance(arguments[0], int)
    if opens_path or event.startswith(_REFUSED_EVENTS):
        raise PermissionError(f"{event} is not allowed in a decoding process")
