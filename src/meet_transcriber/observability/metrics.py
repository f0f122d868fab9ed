"""
Prometheus metrics: definitions, counting and exposition.

docs/reference/metrics.md is generated from `METRICS`. Where several processes count together,
each writes to the folder PROMETHEUS_MULTIPROC_DIR, which must be set before this module is
imported, and the process that is scraped adds them up.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from platform import python_version
from typing import Any, Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from meet_transcriber.core.jobs import KINDS, Job, waited_seconds, worked_seconds

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
LONG_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0)

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "other"
"""Label of methods that a route does not have; bounds the number of series."""
_NOT_ALLOWED = 405

_OURS = (
    "engine_unavailable",
    "recognition_failed",
    "storage_error",
    "storage_full",
    "worker_error",
    "worker_lost",
)
"""Codes of failures of the service, for which an alert may have to fire at once."""

Kind = Literal["counter", "gauge", "histogram"]
Where = Literal["API", "worker", "API and worker"]


@dataclass(frozen=True)
class MetricSpec:
    """The definition of a metric; `where` is the process that counts it."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    where: Where = "worker"
    buckets: tuple[float, ...] = ()


COUNTED = (
    MetricSpec("transcription_requests_total", "counter", "Submissions, by source and by "
        "`accepted` or the code of the refusal.", ("source", "outcome"), "API"),
    MetricSpec("transcription_uploads_total", "counter", "Recordings received completely, "
        "uploaded or fetched.", (), "API and worker"),
    MetricSpec("transcription_upload_bytes_total", "counter", "Bytes of received recordings.", (),
        "API and worker"),
    MetricSpec("transcription_duration_seconds", "histogram", "Seconds from submission to the end "
        "of a job, without reruns.", ("state",), "API and worker", LONG_SECONDS),
    MetricSpec("transcription_jobs_ended_total", "counter", "Ended jobs, by state and error code.",
        ("state", "code"), "API and worker"),
    MetricSpec("transcription_degraded_jobs_total", "counter", "Completed jobs with a warning, by "
        "its code.", ("warning",), "API and worker"),
    MetricSpec("transcription_audio_seconds_total", "counter", "Seconds of audio of completed "
        "jobs.", (), "API and worker"),
    MetricSpec("transcription_queue_wait_seconds", "histogram", "Seconds from submission to the "
        "first claim of a task.", ("queue",), "worker", LONG_SECONDS),
    MetricSpec("transcription_task_seconds", "histogram", "Seconds that a worker held a task, by "
        "stage and outcome.", ("stage", "outcome"), "worker", LONG_SECONDS),
    MetricSpec("transcription_realtime_factor", "histogram", "Seconds of recognition per second "
        "of audio, part by part.", ("engine", "model"), "worker", FACTORS),
    MetricSpec("transcription_recognized_audio_seconds_total", "counter", "Seconds of recognized "
        "audio.", ("engine", "model")),
    MetricSpec("transcription_lease_expiries_total", "counter", "Tasks whose worker sent no "
        "heartbeat or died.", ("stage",), "API and worker"),
    MetricSpec("transcription_webhook_attempts_total", "counter", "Attempts to deliver a webhook.",
        ("outcome",), "API and worker"),
    MetricSpec("transcription_maintenance_failures_total", "counter", "Failures of the maintenance "
        "of a job; each is retried after a growing delay.", (), "API and worker"),
    MetricSpec("transcription_engine_fetch_seconds", "gauge", "Seconds of fetching weights when "
        "the worker started.", ("part",)),
    MetricSpec("transcription_engine_load_seconds", "gauge", "Seconds of loading and checking an "
        "engine when the worker started.", ("part",)),
    MetricSpec("http_requests_total", "counter", "Requests, by route template and status.",
        ("method", "route", "status"), "API"),
    MetricSpec("http_request_duration_seconds", "histogram", "Seconds from the headers of a "
        "request to the last byte of its response.", ("method", "route"), "API", SECONDS),
    MetricSpec("meet_transcriber_build_info", "gauge", "1; the labels are the versions in use.",
        ("version", "python"), "API and worker"),
)  # fmt: skip

OBSERVED = (
    MetricSpec("celery_queue_length", "gauge", "Ready and running tasks.", ("queue",), "API"),
    MetricSpec("transcription_tasks", "gauge", "Tasks of unfinished jobs.", ("queue", "state"),
        "API"),
    MetricSpec("transcription_oldest_task_age_seconds", "gauge", "Seconds that the oldest ready "
        "task has waited; 0 if there is none.", ("queue",), "API"),
    MetricSpec("transcription_jobs", "gauge", "Unfinished jobs.", ("state",), "API"),
    MetricSpec("transcription_audio_left_seconds", "gauge", "Seconds of audio of unfinished jobs "
        "that are not recognized yet.", (), "API"),
    MetricSpec("transcription_workers", "gauge", "Workers seen in the last 15 seconds.",
        ("queue", "state"), "API"),
    MetricSpec("transcription_idle_worker_seconds", "gauge", "Seconds that a worker has been idle "
        "although a task is ready that is no fetch; 0 if there is none.", ("queue",), "API"),
    MetricSpec("transcription_longest_task_seconds", "gauge", "Seconds that the longest running "
        "task has taken; 0 if none runs.", (), "API"),
    MetricSpec("transcription_worker_last_seen_timestamp_seconds", "gauge", "When a worker of "
        "this queue was last seen, if ever since this API started.", ("queue",), "API"),
    MetricSpec("transcription_store_up", "gauge", "1 if the store responds, else 0.", ("store",),
        "API"),
    MetricSpec("transcription_store_used_bytes", "gauge", "Bytes in use where jobs and media are "
        "stored, of all users.", ("store", "kind"), "API"),
    MetricSpec("transcription_store_size_bytes", "gauge", "Total bytes where jobs and media are "
        "stored.", ("store", "kind"), "API"),
    MetricSpec("transcription_gpu_memory_used_bytes", "gauge", "GPU memory in use, of all users.",
        ("gpu",), "API and worker"),
    MetricSpec("transcription_gpu_memory_size_bytes", "gauge", "Total GPU memory.", ("gpu",),
        "API and worker"),
)  # fmt: skip

METRICS = COUNTED + OBSERVED
_OBSERVED_LABELS = {spec.name: spec.labels for spec in OBSERVED}


class PrometheusMeters:
    """The Meters of this process; `model`, of the recognizer and from a small set, is a label."""

    def __init__(self, version: str, model: str = "") -> None:
        self.registry = CollectorRegistry()
        self._model = model
        self._metrics = {spec.name: _create(spec, self.registry) for spec in COUNTED}
        self._children: dict[tuple[str, ...], Any] = {}
        self._series("meet_transcriber_build_info", version, python_version()).set(1)
        self._initialize()

    def _initialize(self) -> None:
        """Start series at 0, as `increase` does not count a series that starts at 1."""
        for source in ("upload", "url"):
            self._series("transcription_requests_total", source, "accepted")
        for state, codes in (("completed", ("",)), ("cancelled", ("",)), ("failed", _OURS)):
            for code in codes:
                self._series("transcription_jobs_ended_total", state, code)
        for kind in KINDS:
            self._series("transcription_lease_expiries_total", kind)
        for name in (
            "transcription_uploads_total",
            "transcription_audio_seconds_total",
            "transcription_maintenance_failures_total",
        ):
            self._series(name)

    def _series(self, name: str, *labels: str) -> Any:
        """The series of these labels; cached, as the lookup costs more than counting."""
        child = self._children.get((name, *labels))
        if child is None:
            metric = self._metrics[name]
            child = metric.labels(*labels) if labels else metric
            self._children[name, *labels] = child
        return child

    # -- Meters ------------------------------------------------------------------------------

    def submission(self, source: str, outcome: str) -> None:
        self._series("transcription_requests_total", source, outcome).inc()

    def upload(self, size_bytes: int) -> None:
        self._series("transcription_uploads_total").inc()
        self._series("transcription_upload_bytes_total").inc(size_bytes)

    def task(self, kind: str, outcome: str, seconds: float) -> None:
        self._series("transcription_task_seconds", kind, outcome).observe(seconds)

    def recognition(self, engine: str, audio_seconds: float, seconds: float) -> None:
        labels = engine.partition(" ")[0], self._model
        self._series("transcription_recognized_audio_seconds_total", *labels).inc(audio_seconds)
        if audio_seconds > 0:
            factor = seconds / audio_seconds
            self._series("transcription_realtime_factor", *labels).observe(factor)

    def waited(self, queue: str, seconds: float) -> None:
        self._series("transcription_queue_wait_seconds", queue).observe(seconds)

    def lease_expired(self, kind: str) -> None:
        self._series("transcription_lease_expiries_total", kind).inc()

    def job_ended(self, job: Job) -> None:
        code = job.error.code if job.error else ""
        self._series("transcription_jobs_ended_total", job.state, code).inc()
        waited, worked = waited_seconds(job), worked_seconds(job)
        if waited is not None and worked is not None:
            self._series("transcription_duration_seconds", job.state).observe(waited + worked)
        if job.state == "completed":
            self._series("transcription_audio_seconds_total").inc(job.duration or 0.0)
            for warning in {warning.code for warning in job.warnings}:
                self._series("transcription_degraded_jobs_total", warning).inc()

    def webhook(self, outcome: str) -> None:
        self._series("transcription_webhook_attempts_total", outcome).inc()

    def maintenance_failed(self) -> None:
        self._series("transcription_maintenance_failures_total").inc()

    def engine(self, part: str, fetch_seconds: float, load_seconds: float) -> None:
        self._series("transcription_engine_fetch_seconds", part).set(fetch_seconds)
        self._series("transcription_engine_load_seconds", part).set(load_seconds)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS and status != _NOT_ALLOWED else OTHER
        self._series("http_requests_total", method, route, str(status)).inc()
        self._series("http_request_duration_seconds", method, route).observe(seconds)


def _create(spec: MetricSpec, registry: CollectorRegistry) -> "Counter | Gauge | Histogram":
    named = spec.name, spec.help, spec.labels
    if spec.kind == "counter":
        return Counter(*named, registry=registry)
    if spec.kind == "gauge":
        return Gauge(*named, registry=registry, multiprocess_mode="mostrecent")
    return Histogram(*named, registry=registry, buckets=spec.buckets)


# -- exposition ------------------------------------------------------------------------------

Sample = tuple[str, tuple[str, ...], float]
"""Name of an observed metric, values of its labels, and its value."""
Observer = Callable[[], Iterable[Sample]]


class Exposition:
    """Everything that a scrape of this process returns; without meters, what its children count."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, meters: PrometheusMeters | None, *observers: Observer) -> None:
        # they double the number of series, and Prometheus does not use them in the text format
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        counted: list[CollectorRegistry | Collector] = []
        if shared := os.environ.get(FOLDER):
            counted.append(MultiProcessCollector(CollectorRegistry(), shared))  # type: ignore[no-untyped-call]
        elif meters is not None:
            counted.append(meters.registry)
        self.registry = CollectorRegistry()
        self.registry.register(_AllMetrics(counted, observers))
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """The text format, with every metric of `METRICS`, even without samples."""
        return generate_latest(self.registry)


class _AllMetrics(Collector):
    """Counted and observed metrics, and an empty family for each metric without samples."""

    def __init__(
        self,
        collectors: Iterable[CollectorRegistry | Collector],
        observers: Iterable[Observer],
    ) -> None:
        self._collectors = tuple(collectors)
        self._observers = tuple(observers)

    def describe(self) -> list[Metric]:
        return []  # so that registering does not collect everything

    def collect(self) -> Iterator[Metric]:
        named = ((spec.name.removesuffix("_total"), spec) for spec in METRICS)
        families = {name: Metric(name, spec.help, spec.kind) for name, spec in named}
        for collector in self._collectors:
            families |= {family.name: family for family in collector.collect()}
        for observe in self._observers:
            for name, labels, value in observe():
                pairs = dict(zip(_OBSERVED_LABELS[name], labels, strict=True))
                families[name].add_sample(name, pairs, value)
        yield from families.values()
