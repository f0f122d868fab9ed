"""`celery -A meet_transcriber.worker.celery_app worker`; importing it reads the environment."""

from meet_transcriber.settings import exit_on_error, load_settings
from meet_transcriber.worker.celery import build

with exit_on_error():
    app = build(load_settings())
