"""Which processes a process has started, as Linux tells it."""

import time
from contextlib import suppress
from pathlib import Path


def children_of(pid: int | None) -> list[int]:
    """Process ids, of those that ended and were not waited for, too."""
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _parent(folder) == pid]


def _parent(folder: Path) -> int | None:
    with suppress(OSError):
        return int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    return None


def none_left(pid: int | None, seconds: float = 5.0) -> bool:
    """Whether a process has no children, at the latest after so many seconds."""
    end = time.monotonic() + seconds
    while children_of(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
