"""A tenant who only wants to be served, and what the service needs meanwhile."""

import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from tests.simulated.system import recording

_TIMEOUT_SECONDS = 15.0
_MEMORY_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Figures:
    """
    Attributes:
        p99: of each kind of request, in seconds.
        failed: answers that were no success, by kind.
        memory: most resident bytes of the service's processes.
        elsewhere: the share of all processors that work outside of this test had.
    """

    p99: dict[str, float]
    failed: dict[str, list[str]]
    memory: int
    elsewhere: float

    def __str__(self) -> str:
        times = (f"{kind} {seconds * 1000:.0f} ms" for kind, seconds in self.p99.items())
        text = f"p99: {', '.join(times)}; memory: {self.memory >> 20} MiB"
        return f"{text}; work outside of this test: {self.elsewhere:.0%}; failed: {self.failed}"


class Bystander:
    """
    Lists jobs, asks for health and uploads recordings of three seconds, all at the same time.

    Args:
        pids: of the service's processes; those that descend from them count, too.
    """

    def __init__(self, url: str, key: str, pids: Iterable[int]) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"X-API-Key": key}, timeout=_TIMEOUT_SECONDS
        )
        self._pids = list(pids)
        self._upload = recording(3)

    def look(self, seconds: float) -> Figures:
        """Use the service for so long."""
        times = defaultdict[str, list[float]](list)
        failed = defaultdict[str, list[str]](list)
        memory = [0]
        end = time.monotonic() + seconds

        def repeat(kind: str, call: Callable[[], httpx.Response], pause: float) -> None:
            while (began := time.monotonic()) < end:
                try:
                    response = call()
                except httpx.TransportError as error:
                    failed[kind].append(repr(error))
                else:
                    if not response.is_success:
                        failed[kind].append(f"{response.status_code} {response.text}")
                times[kind].append(time.monotonic() - began)
                time.sleep(pause)

        def weigh() -> None:
            while time.monotonic() < end:
                memory[0] = max(memory[0], resident(self._pids))
                time.sleep(_MEMORY_PAUSE_SECONDS)

        calls: list[Callable[[], None]] = [
            partial(repeat, "list", partial(self._client.get, "/transcribe"), 0.05),
            partial(repeat, "health", partial(self._client.get, "/health"), 0.05),
            partial(repeat, "upload", self.upload, 0.25),
            weigh,
        ]
        threads = [threading.Thread(target=call) for call in calls]
        before = _ticks()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        all_, idle, ours = (after - then for after, then in zip(_ticks(), before, strict=True))
        return Figures(
            {kind: p99(each) for kind, each in times.items()},
            dict(failed),
            memory[0],
            max(0.0, (all_ - idle - ours) / all_),
        )

    def upload(self, **fields: str) -> httpx.Response:
        """Submit a recording."""
        files = {"file": ("standup.wav", self._upload)}
        return self._client.post("/transcribe", files=files, data=fields)

    def status(self, job_id: str) -> str:
        """The state of a job."""
        return str(self._client.get(f"/transcribe/{job_id}").json()["status"])

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


def p99(values: Iterable[float]) -> float:
    """The 99th percentile, by nearest rank: of less than a hundred values, the largest."""
    ordered = sorted(values)
    return ordered[math.ceil(0.99 * len(ordered)) - 1]


def resident(pids: Iterable[int]) -> int:
    """Bytes of memory of these processes and all that descend from them; shared ones repeatedly."""
    pages = 0
    for pid in family(pids):
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def family(pids: Iterable[int]) -> list[int]:
    """These processes, and all that descend from them."""
    found = []
    for pid in pids:
        found.append(pid)
        with suppress(OSError):  # it has ended
            for file in Path(f"/proc/{pid}/task").glob("*/children"):
                found += family(map(int, file.read_text().split()))
    return found


def _ticks() -> tuple[int, int, int]:
    """Time of all processors so far, what of it they were idle, and what this test has used."""
    times = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    ours = 0
    for pid in family([os.getpid()]):
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ours += sum(map(int, stat[11:15]))  # with children that have ended
    return sum(times), times[3] + times[4], ours
