"""`queue`, `health`, `backup` and `restore`: commands for the operator of a deployment."""

import json
import shutil
import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.bootstrap import services
from meet_transcriber.cli.console import AsJson, configured, echo_json, print_error
from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.workers import WorkerInfo, parse_worker_name
from meet_transcriber.service.queries import QueueStats, measure_queues
from meet_transcriber.settings import Settings

_LENGTH = "celery_queue_length"
_AUDIT = "audit.jsonl"

_Folder = Annotated[Path, typer.Argument(help="Folder of the backup.")]


def queue(
    as_json: AsJson = False,
    emf_every: Annotated[
        float | None,
        typer.Option(
            "--emf-every",
            min=1,
            help="Write the length of the queue at this interval in seconds, as lines in "
            "CloudWatch's embedded metric format.",
        ),
    ] = None,
) -> None:
    """Show waiting and running tasks, the age of the oldest job, and live workers."""
    with configured() as settings:
        if emf_every is not None:
            _write_metrics(settings, emf_every)
        jobs, now = services.stores(settings).jobs, time.time()
        stats = measure_queues(jobs, services.open_queue(settings), now)
        workers = jobs.workers(now)
        if as_json:
            echo_json({**stats.as_dict(), "workers": [asdict(worker) for worker in workers]})
        else:
            _show(stats, workers, now)


def _write_metrics(settings: Settings, seconds: float) -> NoReturn:
    """Write a line per interval; none while the stores are down, so that scalers keep still."""
    jobs, messages = services.stores(settings).jobs, services.open_queue(settings)
    while True:
        try:
            now = time.time()
            length = measure_queues(jobs, messages, now).as_dict()[_LENGTH]
            typer.echo(json.dumps(_embedded_metric(length, now)))
        except StorageError as error:
            print_error(error)
        time.sleep(seconds)


def _embedded_metric(length: int, now: float) -> dict[str, object]:
    """A log line in CloudWatch's embedded metric format, version 0."""
    metric = {"Name": _LENGTH, "Unit": "Count"}
    directive = {"Namespace": "meet-transcriber", "Dimensions": [[]], "Metrics": [metric]}
    return {
        "_aws": {"Timestamp": round(now * 1000), "CloudWatchMetrics": [directive]},
        _LENGTH: length,
    }


def _show(stats: QueueStats, workers: list[WorkerInfo], now: float) -> None:
    console, backlog = Console(), stats.backlog
    table = Table("queue", "ready", "running", "messages")
    for name in QUEUES:
        counts = backlog.ready.get(name, 0), backlog.running.get(name, 0), stats.messages[name]
        table.add_row(name, *map(str, counts))
    console.print(table)
    states = ", ".join(f"{count} {state}" for state, count in sorted(backlog.jobs.items()) if count)
    age = "" if stats.oldest_seconds is None else f"; oldest: {stats.oldest_seconds:.0f} s"
    console.print(f"Unfinished jobs: {states or 'none'}{age}.")
    table = Table("worker", "state", "queues", "engines", "task")
    for worker in workers:
        engines = ", ".join(filter(None, (worker.engine, worker.diarizer)))
        since = f" for {now - worker.since:.0f} s" if worker.detail and worker.since else ""
        task = worker.problem or worker.detail + since
        row = (worker.id, worker.state, " ".join(worker.queues), engines, task)
        table.add_row(*map(escape, row))
    console.print(table if workers else "No live workers.")


def health(
    store_only: Annotated[
        bool, typer.Option("--store-only", help="Do not require a worker on this host.")
    ] = False,
) -> None:
    """Exit with 0 when stores and broker respond and this host has a live worker."""
    with configured() as settings:
        stores = services.stores(settings)
        stores.jobs.ping()
        stores.media.ping()
        services.open_queue(settings).ping()
        here = [worker for worker in stores.jobs.workers(time.time()) if _is_here(worker)]
    if not store_only and not here:
        print_error("No live worker on this host.")
        raise typer.Exit(1)
    states = [f"{worker.id} is {worker.state}. {worker.problem}".strip() for worker in here]
    typer.echo("\n".join(["Stores and broker respond.", *states]))


def _is_here(worker: WorkerInfo) -> bool:
    name = parse_worker_name(worker.id)
    return name is not None and name.host == socket.gethostname()


def backup(folder: _Folder) -> None:
    """Copy all jobs, recordings, results and keys to an empty folder, also while serving."""
    with configured() as settings:
        copied = services.back_up(settings, folder)
        audit = settings.audit_log or settings.data_dir / _AUDIT
        if audit.is_file():
            _copy(audit, folder / _AUDIT)
        for key in copied.missing:
            print_error(f"Object {key} is referenced by a job but missing.")
        typer.echo(f"Copied {copied.jobs} jobs and {copied.objects} objects to {folder}.")
        if copied.missing:
            raise typer.Exit(1)


def restore(folder: _Folder) -> None:
    """Restore a backup to the configured stores; no service may run on them."""
    with configured() as settings:
        copied = services.put_back(settings, folder)
        audit = settings.audit_log or settings.data_dir / _AUDIT
        if (folder / _AUDIT).is_file() and not audit.exists():
            _copy(folder / _AUDIT, audit)
        typer.echo(f"Restored {copied.jobs} jobs and {copied.objects} objects.")


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{source} cannot be copied to {target}: {reason}.") from error
