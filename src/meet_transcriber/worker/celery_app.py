"""`celery -A meet_transcriber.worker.celery_app worker`; importing it reads the environment."""

from celery import Celery

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings import load_settings
from meet_transcriber.worker.celery import build


def _from_environment() -> Celery:
    """The application; unusable settings end the process with a message."""
    try:
        return build(load_settings())
    except InvalidOptions as error:
        raise SystemExit(f"error: {error}") from None


app = _from_environment()
