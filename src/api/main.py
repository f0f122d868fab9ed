"""`uvicorn src.api.main:app` from the repository's root, as the deployment guide has it."""

from meet_transcriber.api.main import app

__all__ = ["app"]
