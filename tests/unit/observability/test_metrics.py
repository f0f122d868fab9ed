"""Figures: counted under bounded names, told whole, by one process or by several together."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.bootstrap.observability import StoreMetrics, exposition
from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.observability.metrics import COUNTED, METRICS, Exposition, PrometheusMeters
from meet_transcriber.ports.observability import Meters, Unmetered
from meet_transcriber.service import Service, ServiceContext, SubmissionRequest, WorkerRegistration
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import complete_job, make_service, note_worker

READER, MONITOR = "reads-and-no-more-than-that", "watches-and-no-more-than-that"
SHARED = """
import os, sys
from meet_transcriber.observability.metrics import PrometheusMeters, Exposition
counting = PrometheusMeters("1.0")
if os.fork() == 0:
    counting.upload(5)
    os._exit(0)
os.wait()
counting.upload(2)
sys.stdout.write(Exposition(None).text().decode())
"""


def value(text: str, series: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{series} ")]
    return float(line.split()[-1])


@pytest.fixture
def counted(tmp_path: Path) -> tuple[Service, TestClient]:
    """A service whose figures are counted, and a client of its API."""
    bare = make_service(tmp_path)
    facts = {**vars(bare.context), "meters": PrometheusMeters("1.0", "base")}
    service = Service(ServiceContext(**facts))
    return service, TestClient(create_app(service, Settings(auth_mode="open", data_dir=tmp_path)))


def test_every_metric_is_exposed_before_anything_is_counted() -> None:
    text = Exposition(PrometheusMeters("1.0")).text().decode()
    for figure in METRICS:
        assert f"# TYPE {figure.name} {figure.kind}" in text
        assert f"# HELP {figure.name} {figure.help}" in text


def test_series_of_alerts_start_at_0() -> None:
    text = Exposition(PrometheusMeters("1.0")).text().decode()
    for code in ("worker_lost", "engine_unavailable"):
        assert value(text, f'transcription_jobs_ended_total{{code="{code}",state="failed"}}') == 0
    assert value(text, 'transcription_lease_expiries_total{stage="recognize"}') == 0


def test_a_job_is_counted_from_its_upload_to_its_end(counted: tuple[Service, TestClient]) -> None:
    service, client = counted
    complete_job(service)
    text = client.get("/metrics").text
    assert value(text, 'transcription_requests_total{outcome="accepted",source="upload"}') == 1
    assert value(text, "transcription_upload_bytes_total") == 4
    assert value(text, 'transcription_jobs_ended_total{code="",state="completed"}') == 1
    assert value(text, 'transcription_duration_seconds_count{state="completed"}') == 1
    assert value(text, "transcription_audio_seconds_total") == 60
    done = 'transcription_task_seconds_count{outcome="done",stage="%s"}'
    stages = "prepare", "recognize", "attribute"
    assert [value(text, done % stage) for stage in stages] == [1, 2, 1]
    labels = 'engine="fake-recognizer",model="base"'
    assert 50 < value(text, f"transcription_recognized_audio_seconds_total{{{labels}}}") <= 60


def test_a_refusal_is_counted_under_its_code(counted: tuple[Service, TestClient]) -> None:
    _, client = counted
    assert client.post("/transcribe", files={"file": ("a.wav", b"")}).status_code == 415
    refused = 'transcription_requests_total{outcome="unsupported_format",source="upload"}'
    assert value(client.get("/metrics").text, refused) == 1


def test_arbitrary_requests_create_no_series(
    counted: tuple[Service, TestClient],
) -> None:
    _, client = counted

    def ask(number: int) -> None:
        client.request(("GET", "BREW", "POST")[number % 3], f"/odd/{number}?x={number}")
        client.get(f"/transcribe/{number:032x}", headers={"X-Request-ID": f"r{number}"})
        client.request(("PUT", "OPTIONS", "BREW")[number % 3], f"/transcribe/{number:032x}/peaks")
        client.get(f"/v1/models/{number}")

    for number in range(5):
        ask(number)
    client.get("/metrics")
    before = len(client.get("/metrics").text.splitlines())
    for number in range(250):
        ask(number)
    text = client.get("/metrics").text
    assert len(text.splitlines()) == before
    unknown = 'http_requests_total{method="%s",route="unknown",status="404"}'
    assert value(text, unknown % "other") > 80 < value(text, unknown % "GET")
    series = 'http_requests_total{method="%s",route="%s",status="%d"}'
    assert value(text, series % ("GET", "/transcribe/{job_id}", 404)) == 255
    assert value(text, series % ("other", "/transcribe/{job_id}/peaks", 405)) == 255
    assert value(text, series % ("GET", "/v1/models/{model:anything}", 404)) == 255


def test_metrics_require_the_scope_monitor(tmp_path: Path) -> None:
    settings = Settings(
        api_keys=SecretStr(f"a:{READER}:read,b:{MONITOR}:monitor"), data_dir=tmp_path
    )
    client = TestClient(create_app(make_service(tmp_path), settings))
    asked = [client.get("/metrics", headers={"X-API-Key": key}) for key in (READER, MONITOR)]
    assert [answer.status_code for answer in asked] == [403, 200]
    assert client.get("/metrics").status_code == 401


def test_processes_that_share_a_folder_count_together(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", SHARED],
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert value(told, "transcription_upload_bytes_total") == 7
    assert all(f"# TYPE {figure.name} " in told for figure in METRICS)


def test_the_longest_task_counts_from_its_start(tmp_path: Path) -> None:
    service, now = make_service(tmp_path), 100.0
    longest = StoreMetrics(ServiceContext(**{**vars(service.context), "clock": lambda: now}), 0.0)
    presence = WorkerRegistration(
        service.context.jobs, lambda: now, WorkerInfo("w", ("cpu",), "fetching")
    )
    presence.update(state="working", detail="diarize")
    now = 160.0
    presence.update()
    assert ("transcription_longest_task_seconds", (), 60.0) in longest.collect()
    presence.update(state="ready", detail="")
    assert ("transcription_longest_task_seconds", (), 0.0) in longest.collect()


def test_a_worker_that_is_idle_while_a_task_is_ready_is_told_of(tmp_path: Path) -> None:
    service, now = make_service(tmp_path), 100.0
    metrics = StoreMetrics(ServiceContext(**{**vars(service.context), "clock": lambda: now}), 0.0)
    worker = WorkerInfo("w", ("cpu",), "fetching")
    registration = WorkerRegistration(service.context.jobs, lambda: now, worker)

    def idle() -> dict[str, float]:
        name = "transcription_idle_worker_seconds"
        return {labels[0]: found for each, labels, found in metrics.collect() if each == name}

    registration.update(state="ready")
    now = 160.0
    registration.update()
    assert idle() == {"cpu": 0.0, "recognize": 0.0}
    # it waits for its tenant's share, not for a worker
    service.submissions.submit_url("https://media.example/a.mp3", SubmissionRequest())
    assert idle() == {"cpu": 0.0, "recognize": 0.0}
    upload = service.submissions.start_upload("a.wav")
    upload.write(b"tape")
    upload.finish(SubmissionRequest())
    assert idle() == {"cpu": 60.0, "recognize": 0.0}
    registration.update(problem="No weights.")
    assert idle() == {"cpu": 0.0, "recognize": 0.0}
    registration.update(problem="", state="working")
    assert idle() == {"cpu": 0.0, "recognize": 0.0}


def test_workers_are_counted_by_queue_and_state(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    note_worker(service, state="working", seen_at=1e10)
    now = service.context.clock()
    unable = WorkerInfo("x", ("cpu",), "ready", problem="No weights.", seen_at=now)
    service.context.jobs.put_worker(unable, 60.0)
    text = exposition(service.context, stores=True).text().decode()
    workers = 'transcription_workers{queue="%s",state="%s"}'
    assert value(text, workers % ("recognize", "working")) == 1
    assert value(text, workers % ("cpu", "unable")) == 1
    assert value(text, workers % ("cpu", "ready")) == 0
    seen = 'transcription_worker_last_seen_timestamp_seconds{queue="recognize"}'
    assert value(text, seen) == 1e10


class Away:
    """A store that does not answer, and counts who asks."""

    asked = 0

    def backlog(self) -> object:
        self.asked += 1
        raise StorageUnavailable("Nobody is there.")


def test_an_unavailable_store_is_reported_and_queried_once_a_second(tmp_path: Path) -> None:
    away = Away()
    context = ServiceContext(**{**vars(make_service(tmp_path).context), "jobs": away})
    overview = StoreMetrics(context, max_age_seconds=3600.0)
    samples = [list(overview.collect()) for _ in range(3)]
    assert away.asked == 1
    assert ("transcription_store_up", ("jobs",), 0.0) in samples[-1]
    assert ("transcription_store_up", ("media",), 1.0) in samples[-1]


def _told_by(name: str) -> Callable[[Meters], None]:
    calls: dict[str, Callable[[Meters], None]] = {
        "transcription_lease_expiries_total": lambda meters: meters.lease_expired("diarize"),
        "transcription_webhook_attempts_total": lambda meters: meters.webhook("delivered"),
        "transcription_queue_wait_seconds": lambda meters: meters.waited("cpu", 2.0),
        "transcription_engine_load_seconds": lambda meters: meters.engine("engine", 1.0, 2.0),
    }
    return calls[name]


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("transcription_lease_expiries_total", '{stage="diarize"} 1.0'),
        ("transcription_webhook_attempts_total", '{outcome="delivered"} 1.0'),
        ("transcription_queue_wait_seconds", '_sum{queue="cpu"} 2.0'),
        ("transcription_engine_load_seconds", '{part="engine"} 2.0'),
    ],
)
def test_every_event_is_counted(name: str, series: str) -> None:
    counting = PrometheusMeters("1.0")
    _told_by(name)(counting)
    assert f"{name}{series}" in Exposition(counting).text().decode()


def test_unmetered_accepts_every_event() -> None:
    meters: Meters = Unmetered()
    meters.lease_expired("diarize")
    assert b"transcription_lease_expiries_total{" not in Exposition(None).text()
    assert len({figure.name for figure in COUNTED}) == len(COUNTED)
