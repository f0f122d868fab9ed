"""GPU memory as NVML, the driver's management library, reports it; needs no CUDA context."""

from collections.abc import Iterator
from dataclasses import dataclass

try:
    import pynvml
except ImportError:  # not in the image of the API, which runs without a GPU
    pynvml = None


@dataclass(frozen=True)
class GpuMemory:
    """The memory of one GPU, as used by all processes; `name` is its index."""

    name: str
    used_bytes: int
    size_bytes: int


def gpu_memory() -> list[GpuMemory]:
    """The memory of every visible GPU; empty without a driver."""
    if pynvml is None:
        return []
    try:
        pynvml.nvmlInit()
        try:
            return list(_read())
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return []


def _read() -> Iterator[GpuMemory]:
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(index))
        except pynvml.NVMLError:  # lost, or a MIG device without this permission
            continue
        yield GpuMemory(str(index), memory.used, memory.total)
