"""
`celery -A tests.simulated.celery_app worker`: a Celery worker with simulated engines.

SIMULATED_DRIFT: adds so many to the worker's prefetch count, as days of late acknowledgements may.
"""

import os
from typing import Any

from celery import signals

from meet_transcriber.settings import load_settings
from meet_transcriber.worker.celery import build
from tests.simulated.engines import make_engines

app = build(load_settings(), make_engines)


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def drift(sender: Any, **_: object) -> None:
    """Let the count drift."""
    sender.qos.increment_eventually(int(os.environ.get("SIMULATED_DRIFT", "0")))
