"""`meet-transcriber queue` and `meet-transcriber health`: what waits, and who works on it."""

import json
import socket
import time
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.bootstrap import services
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings, say_error
from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerInfo, parse_worker_name
from meet_transcriber.service import queue_stats
from meet_transcriber.settings import Settings

_LENGTH = "celery_queue_length"

_Json = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
_Every = Annotated[
    float | None,
    typer.Option(
        "--emf-every",
        min=1,
        help="Write the queue's length every so many seconds, as lines that CloudWatch Logs makes "
        "metrics of (embedded metric format).",
    ),
]


def queue(as_json: _Json = False, emf_every: _Every = None) -> None:
    """Show how much work waits and runs, since when, and which workers were heard of lately."""
    with errors_become_exit_codes():
        settings = load_settings()
        if emf_every is not None:
            _keep_telling(settings, emf_every)
        jobs, now = services.stores(settings).jobs, time.time()
        seen = queue_stats.measure(jobs, services.queue_from_outside(settings), now)
        workers = jobs.workers(now)
        if as_json:
            told = {**seen.plain(), "workers": [asdict(worker) for worker in workers]}
            typer.echo(json.dumps(told, indent=2))
        else:
            _show(seen, workers, now)


def _keep_telling(settings: Settings, seconds: float) -> NoReturn:
    """One line after the other; while stores are away there is none, and scalers do nothing."""
    jobs, messages = services.stores(settings).jobs, services.queue_from_outside(settings)
    while True:
        try:
            now = time.time()
            told = queue_stats.measure(jobs, messages, now).plain()
            typer.echo(json.dumps(_embedded_metric(told["celery_queue_length"], now)))
        except StorageError as error:
            say_error(str(error))
        time.sleep(seconds)


def _embedded_metric(length: int, now: float) -> dict[str, object]:
    """A log line of Amazon's embedded metric format, version 0."""
    metric = {"Name": _LENGTH, "Unit": "Count"}
    directive = {"Namespace": "meet-transcriber", "Dimensions": [[]], "Metrics": [metric]}
    return {
        "_aws": {"Timestamp": round(now * 1000), "CloudWatchMetrics": [directive]},
        _LENGTH: length,
    }


def _show(seen: queue_stats.QueueStats, known: list[WorkerInfo], now: float) -> None:
    console, backlog = Console(), seen.backlog
    table = Table("queue", "ready", "running", "messages")
    for name in QUEUES:
        counts = backlog.ready.get(name, 0), backlog.running.get(name, 0), seen.messages[name]
        table.add_row(name, *map(str, counts))
    console.print(table)
    states = ", ".join(f"{count} {state}" for state, count in sorted(backlog.jobs.items()) if count)
    age = "" if seen.oldest_seconds is None else f"; the oldest for {seen.oldest_seconds:.0f} s"
    console.print(f"Jobs: {states or 'none unfinished'}{age}.")
    workers = Table("worker", "state", "queues", "engines", "at")
    for worker in known:
        engines = ", ".join(filter(None, (worker.engine, worker.diarizer)))
        since = f" for {now - worker.since:.0f} s" if worker.detail and worker.since else ""
        at = worker.problem or worker.detail + since
        row = (worker.id, worker.state, " ".join(worker.queues), engines, at)
        workers.add_row(*map(escape, row))
    console.print(workers if known else "No worker was heard of lately.")


def health(
    store_only: Annotated[
        bool, typer.Option("--store-only", help="Do not ask for a worker on this host.")
    ] = False,
) -> None:
    """Exit with 0 when stores and broker answer and a worker of this host was heard of lately."""
    with errors_become_exit_codes():
        settings = load_settings()
        kept = services.stores(settings)
        kept.jobs.ping()
        kept.media.ping()
        services.queue_from_outside(settings).ping()
        here = [worker for worker in kept.jobs.workers(time.time()) if _is_here(worker)]
    if not store_only and not here:
        say_error("No worker of this host was heard of in the last seconds.")
        raise typer.Exit(1)
    states = [f"{worker.id} is {worker.state}. {worker.problem}".strip() for worker in here]
    typer.echo("\n".join(["Stores and broker answer.", *states]))


def _is_here(worker: WorkerInfo) -> bool:
    name = parse_worker_name(worker.id)
    return name is not None and name.host == socket.gethostname()
