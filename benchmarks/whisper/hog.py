"""
A process that allocates a GPU's memory except for some megabytes, until its input ends.

    python -m benchmarks.whisper.hog MEGABYTES

It uses the driver's own library, and needs nothing but the driver.
"""

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.whisper.recording import ROOT

_LARGEST = 1 << 30
_SMALLEST = 2 << 20  # the driver allocates memory in blocks of this size


@contextmanager
def little_memory(megabytes: int) -> Iterator[None]:
    """Let another process allocate the GPU's memory except for some megabytes."""
    command = [sys.executable, "-m", "benchmarks.whisper.hog", str(megabytes)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            answer = process.stdout.readline().strip()
            if answer != "ready":
                raise RuntimeError(f"the GPU's memory could not be taken: {answer or 'no answer'}")
            yield
        finally:
            process.stdin.close()


class Gpu:
    """The first GPU, through libcuda."""

    def __init__(self) -> None:
        self._cuda = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)

    @property
    def free_bytes(self) -> int:
        """Return the free memory."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def take(self, size: int) -> bool:
        """Allocate memory; returns False if there is too little."""
        pointer = ctypes.c_void_p()
        code: int = self._cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(size))
        return code == 0

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._cuda, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} failed with {code}")


def main(megabytes: int) -> None:
    """Allocate the rest, print that, and wait."""
    gpu, size = Gpu(), _LARGEST
    while size >= _SMALLEST:
        if gpu.free_bytes - size < megabytes << 20 or not gpu.take(size):
            size //= 2
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
