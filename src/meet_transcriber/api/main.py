"""`uvicorn meet_transcriber.api.main:app`; importing it reads the environment."""

from meet_transcriber.api.app import build
from meet_transcriber.bootstrap import observability
from meet_transcriber.settings import exit_on_error, load_settings

with exit_on_error():
    settings = load_settings()
    observability.set_up_logging(settings)
    observability.share_metrics()
    app = build(settings)
