"""`python -m tests.simulated.once FOLDER URL`: exits with 0 when a job gets through."""

import sys
from pathlib import Path

from tests.simulated.system import System


def completes(folder: Path, url: str, **variables: object) -> bool:
    """Whether a job gets through from here to a Celery worker and back, over this Redis."""
    with System(folder, REDIS_URL=url, **variables) as system:
        system.celery()
        return system.ended(system.submit(seconds=1)).state == "completed"


if __name__ == "__main__":
    sys.exit(not completes(Path(sys.argv[1]), sys.argv[2]))
