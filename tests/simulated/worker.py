"""`python -m tests.simulated.worker [ID]`: an embedded worker with simulated engines.

With an id, stdin is its lifeline.
"""

import sys

from meet_transcriber.bootstrap import observability
from meet_transcriber.settings import Settings
from meet_transcriber.worker import embedded
from tests.simulated.engines import make_engines


def command(worker_id: str) -> list[str]:
    """The command that starts it."""
    return [sys.executable, "-m", "tests.simulated.worker", worker_id]


def main() -> None:
    """Work until stopped."""
    settings = Settings()
    observability.set_up_logging(settings)
    worker_id = sys.argv[1] if len(sys.argv) > 1 else None
    parent_pipe = sys.stdin.fileno() if worker_id else None
    embedded.run(settings, make_engines, worker_id=worker_id, parent_pipe=parent_pipe)


if __name__ == "__main__":
    main()
