"""Writes deploy/railway/Dockerfile: ours without what Railway's builder rejects."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "deploy" / "railway" / "Dockerfile"

_REFUSED = re.compile(r"--mount=type=cache,\S+ \\\n +|^(?:# .*\n)?VOLUME .*\n", re.MULTILINE)
_HEAD = """\
# Generated from Dockerfile by `make docs`. Railway's builder rejects VOLUME, as Railway has its own
# volumes, and caches that do not name the service.
"""


def text() -> str:
    """The whole file."""
    return _HEAD + _REFUSED.sub("", (ROOT / "Dockerfile").read_text(encoding="utf-8"))


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")
