"""`python -m tests.simulated.host`: a process as an API is one, with a simulated worker."""

from meet_transcriber import bootstrap
from meet_transcriber.bootstrap import hosting
from meet_transcriber.settings import Settings
from meet_transcriber.worker.doorbell import Doorbell
from tests.simulated.worker import command


def main() -> None:
    """Offer the service until told to end."""
    settings = Settings()
    bootstrap.set_up_logging(settings)
    with Doorbell() as doorbell, hosting.hosted(settings, command):
        doorbell.over()


if __name__ == "__main__":
    main()
