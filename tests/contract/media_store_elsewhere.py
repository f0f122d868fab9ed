"""The contract of MediaStore on other processes: killed ones, and their memory."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from meet_transcriber.ports.stores import MediaStore

MEBIBYTE = 1 << 20

# Each is preceded by a line that makes `store`.
DIES = """
import time
with store.writer("jobs/1/upload") as writer:
    for _ in range(24):
        writer.write(bytes(1 << 20))
    print("half", flush=True)
    time.sleep(600)
"""
STREAMS = """
import re, sys
from pathlib import Path

def peak() -> int:  # the high-water mark: ru_maxrss is inherited from whoever started us
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1)) // 1024

store.put("jobs/0/small", bytes(100))
store.get("jobs/0/small")
before, piece = peak(), bytes(range(256)) * 4096
with store.writer("jobs/1/upload") as writer:
    for _ in range(64):
        writer.write(piece)
written = peak()
with store.open("jobs/1/upload") as file:
    for _ in range(64):
        assert file.read(len(piece)) == piece
    assert file.read() == b""
print(written - before, peak() - before)
"""


@contextmanager
def started(code: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python process that runs `code`, killed at the end if it still runs."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


class ElsewhereContract:
    """Asks for `store`, and for `making`: a line of code that makes the same in any process."""

    peak_mib = 40

    def test_a_killed_writer_leaves_nothing(self, store: MediaStore, making: str) -> None:
        with started(making + DIES) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "half\n"
            child.send_signal(signal.SIGKILL)
            child.wait()
        store.remove_stale_writes(0)
        assert not store.exists("jobs/1/upload")
        assert store.keys("jobs") == []

    def test_another_process_sees_the_same(self, store: MediaStore, making: str) -> None:
        store.put("jobs/1/plan", b"here")
        code = f"{making}\nprint(store.get('jobs/1/plan'), store.keys('jobs'))"
        with started(code) as child:
            assert child.communicate()[0] == "b'here' ['jobs/1/plan']\n"

    def test_streams_need_little_memory(self, store: MediaStore, making: str) -> None:
        with started(making + STREAMS) as child:
            out, _ = child.communicate()
        assert max(map(int, out.split())) < self.peak_mib, out
        assert store.size("jobs/1/upload") == 64 * MEBIBYTE
