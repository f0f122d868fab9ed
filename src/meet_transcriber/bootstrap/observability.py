"""Settings to metrics, traces and logging."""

import atexit
import fcntl
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from meet_transcriber.core.errors import InvalidOptions, StorageError
from meet_transcriber.core.jobs import QUEUES, SHOWN, TERMINAL
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.ports.observability import Meters, Tracer
from meet_transcriber.ports.stores import JobStore, MediaStore
from meet_transcriber.service import ServiceContext
from meet_transcriber.settings import Settings

if TYPE_CHECKING:
    from meet_transcriber.observability.metrics import Exposition, Sample

# as in observability/metrics.py, which must not be imported before the variable is set
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "meet-transcriber-metrics-"
_MAX_AGE_SECONDS = 1.0
_WORKER_STATES = ("fetching", "ready", "working", "stopping", "unable")


def share_metrics() -> None:
    """
    Let this process and its children count together; to be called before anything is counted.

    They share PROMETHEUS_MULTIPROC_DIR, or a temporary folder; the processes of one
    `uvicorn --workers` share a folder named after their parent. Folders of processes that were
    killed are removed.
    """
    if _FOLDER in os.environ:
        Path(os.environ[_FOLDER]).mkdir(parents=True, exist_ok=True)
        return
    # those that end without running exit handlers leave theirs behind
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_unused(folder)
    folder, lock = _make_folder()
    os.environ[_FOLDER] = str(folder)
    atexit.register(_release, folder, lock)


def _make_folder() -> tuple[Path, int]:
    """A folder for this process or for those of one parent, and the descriptor that locks it."""
    parent = multiprocessing.parent_process()
    while True:
        with suppress(FileNotFoundError):  # another process removed it before it was locked
            folder = _shared_folder(parent.pid or 0) if parent else _own_folder()
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(lock), folder.stat()):
                return folder, lock


def _own_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


def _shared_folder(parent: int) -> Path:
    folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{os.getuid()}-{parent}"
    folder.mkdir(mode=0o700, exist_ok=True)
    planted = folder.lstat().st_uid != os.getuid()  # by another user
    return _own_folder() if planted else folder


def _release(folder: Path, lock: int) -> None:
    os.close(lock)
    _remove_unused(folder)


def _remove_unused(folder: Path) -> None:
    """Remove a folder of this user unless a process holds its lock, which ends with the process."""
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def meters(settings: Settings) -> Meters:
    """The metrics of this process."""
    from meet_transcriber.engines.weights.catalogue import catalogue
    from meet_transcriber.observability.metrics import PrometheusMeters

    model = settings.whisper_model
    known = model in catalogue().recognition_names
    return PrometheusMeters(version("meet-transcriber"), model if known else "other")


def tracer(settings: Settings, role: str) -> Tracer | None:
    """Traces jobs across processes; None, and nothing is imported, without a collector."""
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    try:
        from meet_transcriber.observability.tracing import OpenTelemetry
    except ImportError as error:
        raise InvalidOptions(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs packages that are not installed; run: "
            "pip install 'meet-transcriber[otel]'"
        ) from error
    return OpenTelemetry(settings.otel_exporter_otlp_endpoint, f"meet-transcriber-{role}")


def instrument_celery(settings: Settings) -> None:
    """Record a span for each message to a worker, where a collector is configured."""
    if settings.otel_exporter_otlp_endpoint is not None:
        from meet_transcriber.observability.tracing import instrument_celery

        instrument_celery()


def exposition(context: ServiceContext | None, *, stores: bool) -> "Exposition":
    """Metrics of this process, or without a context of its children; `stores` adds theirs."""
    from meet_transcriber.observability.gpu import gpu_memory
    from meet_transcriber.observability.metrics import Exposition, PrometheusMeters

    def gpus() -> Iterator["Sample"]:
        for gpu in gpu_memory():
            yield "transcription_gpu_memory_used_bytes", (gpu.name,), gpu.used_bytes
            yield "transcription_gpu_memory_size_bytes", (gpu.name,), gpu.size_bytes

    meters = context.meters if context else None
    counted = meters if isinstance(meters, PrometheusMeters) else None
    observers = [StoreMetrics(context).collect] if context and stores else []
    return Exposition(counted, gpus, *observers)


def serve_metrics(settings: Settings, context: ServiceContext | None) -> None:
    """Expose a worker's metrics on METRICS_PORT, if set; raises InvalidOptions if it is in use."""
    if settings.metrics_port is None:
        return
    from prometheus_client import start_http_server

    host, port = settings.metrics_host, settings.metrics_port
    try:
        start_http_server(port, host, exposition(context, stores=False).registry)
    except OSError as error:
        raise InvalidOptions(
            f"Cannot expose metrics on {host} port {port}: {error.strerror or error}. METRICS_HOST "
            "and METRICS_PORT name another address."
        ) from error


class StoreMetrics:
    """Metrics of all jobs and workers, read from the stores at most once a second."""

    def __init__(self, context: ServiceContext, max_age_seconds: float = _MAX_AGE_SECONDS) -> None:
        self._context = context
        self._max_age_seconds = max_age_seconds
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._samples: list[Sample] = []
        self._seen: dict[str, float] = {}

    def collect(self) -> "Iterable[Sample]":
        """The samples, at most a second old, without those of a store that does not respond."""
        with self._lock:
            if time.monotonic() - self._read_at >= self._max_age_seconds:
                self._samples = list(self._read())
                self._read_at = time.monotonic()
            return self._samples

    def _read(self) -> "Iterator[Sample]":
        stores: dict[str, tuple[JobStore | MediaStore, Callable[[], Iterable[Sample]]]] = {
            "jobs": (self._context.jobs, self._jobs),
            "media": (self._context.media, tuple),
        }
        for name, (store, read) in stores.items():
            try:
                found = [*read(), *_capacity(name, store)]
            except StorageError:
                yield "transcription_store_up", (name,), 0.0
            else:
                yield "transcription_store_up", (name,), 1.0
                yield from found

    def _jobs(self) -> "Iterator[Sample]":
        jobs, now = self._context.jobs, self._context.clock()
        backlog = jobs.backlog()
        for queue in QUEUES:
            ready, running = backlog.ready.get(queue, 0), backlog.running.get(queue, 0)
            yield "celery_queue_length", (queue,), ready + running
            yield "transcription_tasks", (queue, "ready"), ready
            yield "transcription_tasks", (queue, "running"), running
            age = max(now - backlog.waiting_since.get(queue, now), 0.0)
            yield "transcription_oldest_task_age_seconds", (queue,), age
        for state in ("uploading", *SHOWN):
            if state not in TERMINAL:
                yield "transcription_jobs", (state,), backlog.jobs.get(state, 0)
        yield "transcription_audio_left_seconds", (), backlog.seconds_left
        workers = jobs.workers(now)
        busy = [now - each.since for each in workers if each.state == "working" and each.since]
        yield "transcription_longest_task_seconds", (), max([0.0, *busy])
        yield from self._workers(workers)
        for queue in QUEUES:
            idle = [now - each.since for each in workers if _idle(each, queue)]
            # fetches may wait, because only some of each tenant run at once
            overlooked = idle and backlog.ready.get(queue) and jobs.ready((queue,), 1)
            yield "transcription_idle_worker_seconds", (queue,), max(idle) if overlooked else 0.0

    def _workers(self, workers: list[WorkerInfo]) -> "Iterator[Sample]":
        for queue in QUEUES:
            here = [worker for worker in workers if queue in worker.queues]
            states = ["unable" if worker.problem else worker.state for worker in here]
            for state in _WORKER_STATES:
                yield "transcription_workers", (queue, state), states.count(state)
            seen = max((worker.seen_at for worker in here), default=0.0)
            self._seen[queue] = max(seen, self._seen.get(queue, 0.0))
            if seen_at := self._seen[queue]:
                yield "transcription_worker_last_seen_timestamp_seconds", (queue,), seen_at


def _idle(worker: WorkerInfo, queue: str) -> bool:
    return worker.state == "ready" and not worker.problem and queue in worker.queues


def _capacity(store: str, stored: JobStore | MediaStore) -> "Iterator[Sample]":
    if room := stored.capacity():
        yield "transcription_store_used_bytes", (store, room.kind), room.used_bytes
        yield "transcription_store_size_bytes", (store, room.kind), room.size_bytes


def set_up_logging(settings: Settings) -> None:
    """Configure logging; raises InvalidOptions where CloudWatch cannot be used."""
    from meet_transcriber.observability import logging

    logging.configure(
        settings.log_level,
        as_json=settings.log_json,
        cloudwatch_group=settings.cloudwatch_log_group,
    )
