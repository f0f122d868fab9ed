"""
Figures for Prometheus: what they are called, how they are counted, how they are told.

`METRICS` is the list; docs/reference/metrics.md is written from it. Where several processes
count together, each keeps its figures in a folder that PROMETHEUS_MULTIPROC_DIR names before
this module is imported, and whoever is asked adds them up.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from platform import python_version
from typing import Any, Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
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
"""Methods that a route does not have, so that asking all routes by all of them adds little."""
_NOT_ALLOWED = 405

_OURS = (
    "engine_unavailable",
    "recognition_failed",
    "storage_error",
    "storage_full",
    "worker_error",
    "worker_lost",
)
"""Codes of what is not the sender's fault, for which an alert may have to fire at once."""

Kind = Literal["counter", "gauge", "histogram"]
Where = Literal["API", "worker", "API and worker"]


@dataclass(frozen=True)
class Figure:
    """
    One metric.

    Attributes:
        where: which process counts it; an API adds up its embedded worker's.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    where: Where = "worker"
    buckets: tuple[float, ...] = ()


COUNTED = (
    Figure("transcription_requests_total", "counter", "Recordings that were sent, by whether they "
           "were accepted or with which code they were refused.", ("source", "outcome"), "API"),
    Figure("transcription_uploads_total", "counter", "Recordings that came in whole, sent or "
           "fetched.", (), "API and worker"),
    Figure("transcription_upload_bytes_total", "counter", "Bytes of these recordings.", (),
           "API and worker"),
    Figure("transcription_duration_seconds", "histogram", "Seconds from sending a recording to "
           "the end of its job, reruns aside.", ("state",), "API and worker", LONG_SECONDS),
    Figure("transcription_jobs_ended_total", "counter", "Jobs that ended, by how and with which "
           "code.", ("state", "code"), "API and worker"),
    Figure("transcription_degraded_jobs_total", "counter", "Completed jobs whose transcript has "
           "a warning, by its code.", ("warning",), "API and worker"),
    Figure("transcription_audio_seconds_total", "counter", "Seconds of audio in completed jobs.",
           (), "API and worker"),
    Figure("transcription_queue_wait_seconds", "histogram", "Seconds from sending a recording to "
           "the first claim of its job.", ("queue",), "worker", LONG_SECONDS),
    Figure("transcription_task_seconds", "histogram", "Seconds that a worker held a task, by "
           "stage and by how it ended.", ("stage", "outcome"), "worker", LONG_SECONDS),
    Figure("transcription_realtime_factor", "histogram", "Seconds of recognition per second of "
           "audio, part by part.", ("engine", "model"), "worker", FACTORS),
    Figure("transcription_recognized_audio_seconds_total", "counter", "Seconds of audio turned "
           "into words.", ("engine", "model")),
    Figure("transcription_lease_expiries_total", "counter", "Tasks whose worker was silent for "
           "too long or known to be dead.", ("stage",), "API and worker"),
    Figure("transcription_webhook_attempts_total", "counter", "Attempts to deliver a webhook.",
           ("outcome",), "API and worker"),
    Figure("transcription_engine_fetch_seconds", "gauge", "Seconds that fetching weights took "
           "when the worker started.", ("part",)),
    Figure("transcription_engine_load_seconds", "gauge", "Seconds that loading and trying an "
           "engine took when the worker started.", ("part",)),
    Figure("http_requests_total", "counter", "Requests that were answered, by template of their "
           "route.", ("method", "route", "status"), "API"),
    Figure("http_request_duration_seconds", "histogram", "Seconds from a request's headers to "
           "the last byte of its answer.", ("method", "route"), "API", SECONDS),
    Figure("meet_transcriber_build_info", "gauge", "1; the labels tell what runs.",
           ("version", "python"), "API and worker"),
)  # fmt: skip

OBSERVED = (
    Figure("celery_queue_length", "gauge", "Tasks that could run now or do; not 0 while anybody "
           "works.", ("queue",), "API"),
    Figure("transcription_tasks", "gauge", "Tasks of unfinished jobs.", ("queue", "state"), "API"),
    Figure("transcription_oldest_task_age_seconds", "gauge", "Seconds that the job which waits "
           "longest was not served; 0 where none waits.", ("queue",), "API"),
    Figure("transcription_jobs", "gauge", "Unfinished jobs.", ("state",), "API"),
    Figure("transcription_audio_left_seconds", "gauge", "Seconds of audio of unfinished jobs "
           "that are not words yet.", (), "API"),
    Figure("transcription_workers", "gauge", "Workers that were heard of in the last 15 seconds.",
           ("queue", "state"), "API"),
    Figure("transcription_longest_task_seconds", "gauge", "Seconds that a worker has been at one "
           "task, the longest of all; 0 where none works.", (), "API"),
    Figure("transcription_worker_last_seen_timestamp_seconds", "gauge", "When a worker of this "
           "queue was last heard of, if ever; kept while this API runs.", ("queue",), "API"),
    Figure("transcription_store_up", "gauge", "Whether the store answers.", ("store",), "API"),
    Figure("transcription_store_used_bytes", "gauge", "Bytes in use where jobs and media are "
           "kept, by everybody.", ("store", "kind"), "API"),
    Figure("transcription_store_size_bytes", "gauge", "Bytes that there may be in all.",
           ("store", "kind"), "API"),
    Figure("transcription_gpu_memory_used_bytes", "gauge", "GPU memory in use, by everybody.",
           ("gpu",), "API and worker"),
    Figure("transcription_gpu_memory_size_bytes", "gauge", "GPU memory in all.", ("gpu",),
           "API and worker"),
)  # fmt: skip

METRICS = COUNTED + OBSERVED


class Counting:
    """
    Meters for Prometheus, of this process.

    Args:
        model: what recognizers use, out of a set that is small; becomes a label.
    """

    def __init__(self, version: str, model: str = "") -> None:
        self.registry = CollectorRegistry()
        self._model = model
        self._metrics = {figure.name: _made(figure, self.registry) for figure in COUNTED}
        self._children: dict[tuple[str, ...], Any] = {}
        self._of("meet_transcriber_build_info", version, python_version()).set(1)
        self._begin()

    def _begin(self) -> None:
        """What happens for the first time must be seen to rise, from 0 on."""
        for source in ("upload", "url"):
            self._of("transcription_requests_total", source, "accepted")
        for state, codes in (("completed", ("",)), ("cancelled", ("",)), ("failed", _OURS)):
            for code in codes:
                self._of("transcription_jobs_ended_total", state, code)
        for kind in KINDS:
            self._of("transcription_lease_expiries_total", kind)
        for name in ("transcription_uploads_total", "transcription_audio_seconds_total"):
            self._of(name)

    def _of(self, name: str, *labels: str) -> Any:
        """The series of these labels; kept, as looking it up costs more than counting."""
        child = self._children.get((name, *labels))
        if child is None:
            metric = self._metrics[name]
            child = metric.labels(*labels) if labels else metric
            self._children[name, *labels] = child
        return child

    # -- Meters ------------------------------------------------------------------------------

    def submission(self, source: str, outcome: str) -> None:
        self._of("transcription_requests_total", source, outcome).inc()

    def upload(self, size_bytes: int) -> None:
        self._of("transcription_uploads_total").inc()
        self._of("transcription_upload_bytes_total").inc(size_bytes)

    def task(self, kind: str, outcome: str, seconds: float) -> None:
        self._of("transcription_task_seconds", kind, outcome).observe(seconds)

    def recognition(self, engine: str, audio_seconds: float, seconds: float) -> None:
        labels = engine.partition(" ")[0], self._model
        self._of("transcription_recognized_audio_seconds_total", *labels).inc(audio_seconds)
        if audio_seconds > 0:
            factor = seconds / audio_seconds
            self._of("transcription_realtime_factor", *labels).observe(factor)

    def waited(self, queue: str, seconds: float) -> None:
        self._of("transcription_queue_wait_seconds", queue).observe(seconds)

    def lease_expired(self, kind: str) -> None:
        self._of("transcription_lease_expiries_total", kind).inc()

    def job_ended(self, job: Job) -> None:
        code = job.error.code if job.error else ""
        self._of("transcription_jobs_ended_total", job.state, code).inc()
        waited, worked = waited_seconds(job), worked_seconds(job)
        if waited is not None and worked is not None:
            self._of("transcription_duration_seconds", job.state).observe(waited + worked)
        if job.state == "completed":
            self._of("transcription_audio_seconds_total").inc(job.duration or 0.0)
            for warning in {warning.code for warning in job.warnings}:
                self._of("transcription_degraded_jobs_total", warning).inc()

    def webhook(self, outcome: str) -> None:
        self._of("transcription_webhook_attempts_total", outcome).inc()

    def engine(self, part: str, fetch_seconds: float, load_seconds: float) -> None:
        self._of("transcription_engine_fetch_seconds", part).set(fetch_seconds)
        self._of("transcription_engine_load_seconds", part).set(load_seconds)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS and status != _NOT_ALLOWED else OTHER
        self._of("http_requests_total", method, route, str(status)).inc()
        self._of("http_request_duration_seconds", method, route).observe(seconds)


def _made(figure: Figure, registry: CollectorRegistry) -> "Counter | Gauge | Histogram":
    match figure.kind:
        case "counter":
            return Counter(figure.name, figure.help, figure.labels, registry=registry)
        case "gauge":
            return Gauge(
                *(figure.name, figure.help, figure.labels),
                registry=registry,
                multiprocess_mode="mostrecent",
            )
        case _:
            return Histogram(
                *(figure.name, figure.help, figure.labels),
                registry=registry,
                buckets=figure.buckets,
            )


# -- telling ---------------------------------------------------------------------------------

Sample = tuple[str, tuple[str, ...], float]
"""Name of an observed figure, values of its labels, and what was seen."""
Look = Callable[[], Iterable[Sample]]


class Exposition:
    """
    Everything that a scrape of this process gets.

    Args:
        counting: of this process; None where others count and this one only tells.
        looks: what is looked up when somebody asks.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, counting: Counting | None, *looks: Look) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        counted: list[CollectorRegistry | Collector] = []
        if shared := os.environ.get(FOLDER):
            counted.append(MultiProcessCollector(CollectorRegistry(), shared))  # type: ignore[no-untyped-call]
        elif counting is not None:
            counted.append(counting.registry)
        self.registry = CollectorRegistry()
        self.registry.register(_Complete(counted))
        self.registry.register(_Observed(looks))
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """The text format, every metric of `METRICS` among it, seen or not."""
        return generate_latest(self.registry)


class _Observed(Collector):
    def describe(self) -> list[Metric]:
        return []

    def __init__(self, looks: Iterable[Look]) -> None:
        self._looks = tuple(looks)

    def collect(self) -> Iterator[Metric]:
        families = {
            figure.name: GaugeMetricFamily(figure.name, figure.help, labels=figure.labels)
            for figure in OBSERVED
        }
        for look in self._looks:
            for name, labels, value in look():
                families[name].add_metric(labels, value)
        yield from families.values()


class _Complete(Collector):
    """What others collect, and an empty family for each figure that nobody counted yet."""

    def __init__(self, collectors: Iterable[CollectorRegistry | Collector]) -> None:
        self._collectors = tuple(collectors)

    def describe(self) -> list[Metric]:
        return []  # that a registry need not collect everything when it learns of this

    def collect(self) -> Iterator[Metric]:
        seen = set[str]()
        for collector in self._collectors:
            for family in collector.collect():
                seen.add(family.name)
                yield family
        for figure in COUNTED:
            if figure.name.removesuffix("_total") not in seen:
                yield _empty(figure)


def _empty(figure: Figure) -> Metric:
    kinds: Mapping[Kind, type[Metric]] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    return kinds[figure.kind](figure.name, figure.help, labels=figure.labels)  # type: ignore[call-arg]
