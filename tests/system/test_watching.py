"""A real Prometheus watches a real API, two real workers and a Redis, by the shipped rules."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from meet_transcriber.observability.metrics import METRICS
from tests.integration.hearing import TINY
from tests.redis_server import RedisServer, free_port
from tests.simulated.children import children_of
from tests.simulated.system import ROOT, System, end, recording, wait_for
from tests.system.monitoring_files import expressions, named
from tests.system.prometheus_server import Prometheus

KEY = "watches-and-no-more-than-that"
SENDER = "sends-and-sees-what-it-sent"


class Watched:
    """An API and a worker for each queue, with a Prometheus that asks them all."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.port, self.ports = free_port(), {"recognize": free_port(), "cpu": free_port()}
        keys = f"prometheus:{KEY}:monitor,sender:{SENDER}"
        self.system = System(
            folder / "system",
            REDIS_URL=redis.url,
            AUTH_MODE="required",
            API_KEYS=keys,
            API_PORT=self.port,
            **TINY,
        )
        targets = {
            "meet-transcriber-api": [self.port],
            "meet-transcriber-worker": list(self.ports.values()),
        }
        self.prometheus = Prometheus(folder / "prometheus", targets, KEY)

    def begin(self) -> None:
        self.system.start("-m", "meet_transcriber", "serve")
        self.workers = {queue: self.worker(queue) for queue in self.ports}
        for port in (self.port, *self.ports.values()):
            wait_for(lambda port=port: _listens(port))  # type: ignore[misc]
        wait_for(lambda: {w.state for w in self.system.workers()} == {"ready"})

    def worker(self, queue: str) -> "subprocess.Popen[bytes]":
        return self.system.celery(queue, "-Q", queue, METRICS_PORT=self.ports[queue])

    def kill(self, queue: str) -> None:
        """As a machine that goes: the worker and its child, without a word."""
        processes = children_of(self.workers[queue].pid)
        end(self.workers[queue], signal.SIGKILL)
        for pid in processes:
            with suppress(ProcessLookupError):  # it noticed, and went
                os.kill(pid, signal.SIGKILL)

    def send(self) -> str:
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/transcribe",
            files={"file": ("standup.wav", recording(2))},
            headers={"X-API-Key": SENDER},
            timeout=60,
        )
        return str(answer.raise_for_status().json()["job_id"])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with RedisServer(tmp_path / "redis") as redis:
        system = Watched(tmp_path, redis)
        with system.system, system.prometheus:
            system.begin()
            yield system


def test_a_killed_worker_is_detected_reported_and_forgotten(watched: Watched) -> None:
    ask, firing = watched.prometheus.ask, watched.prometheus.firing
    for job_id in [watched.send(), watched.send()]:
        watched.system.ended(job_id)
    _what_happened_is_counted(watched)
    wait_for(lambda: not firing())  # it may have waited for the API

    watched.kill("recognize")
    job_id = watched.send()
    wait_for(firing)
    assert firing() == {("MeetTranscriberNoWorkers", "recognize")}
    able = 'sum(transcription_workers{queue="recognize",state=~"ready|working|fetching"})'
    assert ask(able) == {(): 0.0}
    assert ask('celery_queue_length{queue="recognize"} > 0')

    watched.workers["recognize"] = watched.worker("recognize")
    assert watched.system.ended(job_id).state == "completed"
    wait_for(lambda: not firing())
    _every_name_is_known(watched)


def _what_happened_is_counted(watched: Watched) -> None:
    """The processes that did it tell of it, and the API of the stores."""
    stages = {("prepare",): 2, ("recognize",): 4, ("diarize",): 2, ("attribute",): 2}
    both = {("cpu",): 1, ("recognize",): 1}
    for query, wanted in (
        ('sum(transcription_jobs_ended_total{state="completed"})', {(): 2}),
        ('sum(transcription_requests_total{outcome="accepted"})', {(): 2}),
        ('sum by (stage) (transcription_task_seconds_count{outcome="done"})', stages),
        ('sum(up{job="meet-transcriber-worker"})', {(): 2}),
        ('sum by (queue) (transcription_workers{state="ready"})', both),
        ("min(transcription_store_up)", {(): 1}),
    ):
        _comes_to(watched, query, wanted)


def _comes_to(watched: Watched, query: str, wanted: object) -> None:
    """At the latest when every target was asked again."""
    wait_for(lambda: watched.prometheus.ask(query) == wanted)


def _every_name_is_known(watched: Watched) -> None:
    """Files of deploy/ name nothing that the running service does not tell."""
    api = f"http://127.0.0.1:{watched.port}/metrics"
    texts = [httpx.get(api, headers={"X-API-Key": KEY}).text]
    texts += [httpx.get(f"http://127.0.0.1:{port}").text for port in watched.ports.values()]
    told = {line.split()[2] for text in texts for line in text.splitlines() if "# TYPE " in line}
    assert named() - told == set()
    assert {figure.name for figure in METRICS} - told == set()
    for expression in expressions():
        watched.prometheus.ask(expression)
    for text in texts:
        lint = subprocess.run(
            ["promtool", "check", "metrics"],
            input=text,
            text=True,
            capture_output=True,
            check=False,
        )
        assert (lint.returncode, lint.stdout + lint.stderr) == (0, "")


def test_the_shipped_rules_fire_when_they_should() -> None:
    folder = ROOT / "deploy" / "monitoring"
    for words in (["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run(
            ["promtool", *words], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_shipped_configuration_is_valid(tmp_path: Path) -> None:
    shipped = (ROOT / "deploy" / "monitoring" / "prometheus.yml").read_text()
    (tmp_path / "monitor_key").write_text("mt_key")
    here = shipped.replace("/etc/prometheus", str(ROOT / "deploy" / "monitoring"))
    here = here.replace("/run/secrets", str(tmp_path))
    (tmp_path / "prometheus.yml").write_text(here)
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
