"""`python -m tests.simulated.host`: what runs beside the API, with a simulated worker."""

from meet_transcriber.api.app import BackgroundServices
from meet_transcriber.bootstrap import observability, services
from meet_transcriber.settings import Settings
from meet_transcriber.worker.embedded import WakeupPipe
from tests.simulated.worker import command


def main() -> None:
    """Keep a worker running until stopped."""
    settings = Settings()
    observability.set_up_logging(settings)
    queue = services.open_queue(settings, command)
    companions = BackgroundServices(settings, services.service(settings, queue), queue)
    with WakeupPipe() as wakeup:
        companions.start()
        wakeup.should_stop()
        companions.stop()


if __name__ == "__main__":
    main()
