"""Time and memory of this process, reported as JSON. Needs the standard library alone."""

import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MEGABYTE = 1e6


class Seconds(dict[str, float]):
    """Seconds by stage."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside as a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self[name] = self.get(name, 0.0) + time.perf_counter() - started


def peak_bytes() -> int:
    """Peak resident memory of this process since it was started."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux: a child's ru_maxrss begins at what its parent held; VmHWM begins anew with exec.
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    # macOS counts bytes, others kibibytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def report(
    rttm: Path, turns: Iterable[tuple[float, float, str]], seconds: Seconds, note: str = ""
) -> None:
    """
    Write the turns and print the line of JSON that the parent reads.

    Args:
        turns: start and end in seconds, and speaker.
        note: why the turns must not be scored.
    """
    lines = (
        f"SPEAKER recording 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
        for start, end, speaker in turns
    )
    rttm.write_text("".join(lines), encoding="utf-8")
    print(json.dumps({"seconds": seconds, "peak_mb": peak_bytes() / MEGABYTE, "note": note}))
