"""`meet-transcriber worker`: a worker, in the way that the settings ask for."""

import os
import sys
from typing import Annotated

import typer

from meet_transcriber.bootstrap import observability, services
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.worker import embedded


def worker(
    queues: Annotated[
        str, typer.Option(help="What to work on: recognize, cpu, or both with a comma between.")
    ] = ",".join(QUEUES),
    concurrency: Annotated[
        int, typer.Option(min=1, help="Processes, each with its own models; with REDIS_URL only.")
    ] = 1,
    is_embedded: Annotated[
        bool,
        typer.Option("--embedded", help="Look for work without Celery, and end with stdin."),
    ] = False,
    worker_id: Annotated[
        str | None, typer.Option("--id", hidden=True, help="The id to claim tasks under.")
    ] = None,
) -> None:
    """Work on jobs: of the Redis in REDIS_URL as a Celery worker, else of DATA_DIR."""
    with errors_become_exit_codes():
        wanted = _queues(queues)
        settings = load_settings()
        services.check_place(settings)
        if settings.redis_url and not is_embedded:
            _celery(wanted, concurrency, settings.log_level)
            return
        observability.set_up_logging(settings)
        lifeline = sys.stdin.fileno() if is_embedded else None
        embedded.run(settings, queues=wanted, worker_id=worker_id, lifeline=lifeline)


def _queues(text: str) -> tuple[str, ...]:
    named = {name.strip() for name in text.split(",")}
    if not named or named - set(QUEUES):
        raise InvalidOptions(f"--queues is {text!r}; name {' or '.join(QUEUES)}, or both.")
    return tuple(name for name in QUEUES if name in named)


def _celery(queues: tuple[str, ...], concurrency: int, log_level: str) -> None:
    """Become what Celery's own command would start."""
    arguments = [
        "-m", "celery", "-A", "meet_transcriber.worker.celery_app", "worker",
        f"--loglevel={log_level}", f"--concurrency={concurrency}", "-Q", ",".join(queues),
    ]  # fmt: skip
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell, our own words
