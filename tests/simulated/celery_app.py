"""`celery -A tests.simulated.celery_app worker`: a Celery worker with simulated engines."""

from meet_transcriber.settings import load_settings
from meet_transcriber.worker.celery import build
from tests.simulated.engines import make_engines

app = build(load_settings(), make_engines)
