"""GPU memory, as the driver's own library (NVML) tells it; no torch, no CUDA context."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LIBRARY = "libnvidia-ml.so.1"


@dataclass(frozen=True)
class GpuMemory:
    """One GPU: its number as a name, and its memory, whoever uses it."""

    name: str
    used_bytes: int
    size_bytes: int


class _Memory(ctypes.Structure):
    """nvmlMemory_t"""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def gpu_memory() -> list[GpuMemory]:
    """Every GPU that this process sees; none where there is no driver."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return []
    with _session(library) as works:
        return list(_look(library)) if works else []


@contextmanager
def _session(library: ctypes.CDLL) -> Iterator[bool]:
    works = library.nvmlInit_v2() == 0
    try:
        yield works
    finally:
        if works:
            library.nvmlShutdown()


def _look(library: ctypes.CDLL) -> Iterator[GpuMemory]:
    count = ctypes.c_uint()
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    for number in range(count.value):
        device, memory = ctypes.c_void_p(), _Memory()
        found = library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(device)) == 0
        if found and library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0:
            yield GpuMemory(str(number), memory.used, memory.total)
