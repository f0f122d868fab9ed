"""`celery -A src.worker.celery_app` from the repository's root, as the deployment guide has it."""

from meet_transcriber.worker.celery_app import app

__all__ = ["app"]
