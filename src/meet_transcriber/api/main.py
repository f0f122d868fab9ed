"""`uvicorn meet_transcriber.api.main:app`; importing it reads the environment."""

from fastapi import FastAPI

from meet_transcriber.api.app import build
from meet_transcriber.bootstrap import observability
from meet_transcriber.core.errors import TranscriptionError
from meet_transcriber.settings import load_settings


def _from_environment() -> FastAPI:
    """The application; settings that make no sense end the process with a sentence."""
    try:
        settings = load_settings()
        observability.set_up_logging(settings)
        observability.share_metrics()
        return build(settings)
    except TranscriptionError as error:
        raise SystemExit(f"error: {error}") from None


app = _from_environment()
