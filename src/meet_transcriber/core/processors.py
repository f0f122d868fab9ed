"""How many CPU cores this process may use."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """
    Return the CPU cores of this process: OMP_NUM_THREADS, else what the scheduler and the
    container allow.

    A container with a limit sees every core of its machine, and more threads than it may run only
    get in each other's way.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(allowed or 1, _quota(cgroup) or allowed or 1)


def _quota(cgroup: Path) -> int | None:
    """Cores that the container's limit amounts to (cgroup v2, else v1); None without one."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return max(math.ceil(int(quota) / int(period)), 1)
