"""`python -m tests.simulated.host`: what runs beside the API, with a simulated worker."""

from meet_transcriber.api.lifespan import Companions
from meet_transcriber.bootstrap import observability, services
from meet_transcriber.settings import Settings
from meet_transcriber.worker.embedded import Doorbell
from tests.simulated.worker import command


def main() -> None:
    """Keep a worker alive until told to end."""
    settings = Settings()
    observability.set_up_logging(settings)
    queue = services.open_queue(settings, command)
    companions = Companions(settings, services.service(settings, queue), queue)
    with Doorbell() as doorbell:
        companions.start()
        doorbell.over()
        companions.stop()


if __name__ == "__main__":
    main()
