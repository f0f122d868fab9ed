"""Writes deploy/railway/Dockerfile: ours without what Railway's builder refuses."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "deploy" / "railway" / "Dockerfile"

_REFUSED = re.compile(r"--mount=type=cache,\S+ \\\n +|^(?:# .*\n)?VOLUME .*\n", re.MULTILINE)
_HEAD = """\
# Made of Dockerfile by `make docs`. Railway's builder refuses VOLUME, which it has its own volumes
# for, and caches that do not name the service.
"""


def text() -> str:
    """The whole file."""
    return _HEAD + _REFUSED.sub("", (ROOT / "Dockerfile").read_text(encoding="utf-8"))


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")
