"""GPU memory as NVML, the driver's management library, reports it; needs no CUDA context."""

from contextlib import suppress
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
    found = []
    try:
        pynvml.nvmlInit()
        try:
            for index in range(pynvml.nvmlDeviceGetCount()):
                with suppress(pynvml.NVMLError):  # lost, or a MIG device without this permission
                    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
                    found.append(GpuMemory(str(index), memory.used, memory.total))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return []
    return found
