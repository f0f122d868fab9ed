"""`worker`, `queue` and `health` as a person or a probe runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hearing import ONNX, TINY
from tests.simulated.system import ROOT, System, end, wait_for


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as system:
        yield system


def test_a_worker_of_the_command_line_does_a_job(system: System) -> None:
    process = system.start("-m", "meet_transcriber", "worker", more=TINY)
    wait_for(lambda: any(worker.state == "ready" for worker in system.workers()))
    (worker,) = system.workers()
    assert (worker.engine, worker.diarizer) == ("whisper tiny.en int8 cpu", ONNX)
    assert (worker.problem, worker.notes) == ("", ())
    job = system.ended(system.submit(seconds=2))
    assert (job.state, job.diarizer) == ("completed", ONNX)
    assert end(process) < 5.0
    assert process.returncode == 0


def test_a_worker_without_weights_says_so_and_fails_jobs(system: System, tmp_path: Path) -> None:
    system.start("-m", "meet_transcriber", "worker", more={**TINY, "MODELS_DIR": tmp_path / "none"})
    job = system.ended(system.submit(seconds=1))
    assert (job.state, job.error and job.error.code) == ("failed", "engine_unavailable")
    (worker,) = system.workers()
    for place in (f"{tmp_path / 'none'} (it is not there)", "HF_HUB_OFFLINE", "package index"):
        assert place in worker.problem


def test_a_worker_without_weights_for_speakers_says_so_and_gives_words(
    system: System, tmp_path: Path
) -> None:
    (tmp_path / "tiny.en").symlink_to(Path(os.environ["MODELS_DIR"]).resolve() / "tiny.en")
    asked = {**TINY, "DIARIZATION_ENGINE": "auto", "MODELS_DIR": tmp_path}
    system.start("-m", "meet_transcriber", "worker", more=asked)
    job = system.ended(system.submit(seconds=1))
    (worker,) = system.workers()
    assert (job.state, job.diarizer, worker.problem) == ("completed", None, "")
    (note,) = worker.notes
    assert note.startswith("Speakers are unknown, because the diarizer cannot be used: ")


def test_a_worker_without_the_pyannote_that_is_named_says_so_and_fails_jobs(
    system: System,
) -> None:
    asked = {**TINY, "DIARIZATION_ENGINE": "pyannote"}
    system.start("-m", "meet_transcriber", "worker", more=asked)
    job = system.ended(system.submit(seconds=1))
    wait_for(lambda: system.workers()[0].problem)
    assert "DIARIZATION_ENGINE=pyannote, but pyannote" in system.workers()[0].problem
    assert (job.state, job.error and job.error.code) == ("failed", "engine_unavailable")


def test_an_unknown_queue_is_refused(system: System) -> None:
    asked = system.run("worker", "--queues", "whisper")
    assert (asked.returncode, "name recognize or cpu" in asked.stderr) == (2, True)


def test_the_queue_is_told(system: System) -> None:
    system.submit(seconds=1)
    told = json.loads(system.run("queue", "--json").stdout)
    assert told["queues"]["cpu"] == {"ready": 1, "running": 0, "length": 1, "messages": 0}
    assert (told["jobs"], told["workers"]) == ({"pending": 1}, [])
    assert told["oldest_seconds"] > 0
    assert "1 pending" in system.run("queue").stdout


def test_the_queues_length_becomes_a_metric_of_cloudwatch(system: System) -> None:
    system.submit(seconds=1)
    telling = subprocess.Popen(
        [sys.executable, "-m", "meet_transcriber", "queue", "--emf-every", "1"],
        cwd=ROOT, env={**os.environ, **system.environment}, stdout=subprocess.PIPE,
    )  # fmt: skip
    system.processes.append(telling)
    assert telling.stdout is not None
    with telling.stdout as said:
        first, second = json.loads(said.readline()), json.loads(said.readline())
    (directive,) = first["_aws"]["CloudWatchMetrics"]
    (metric,) = directive["Metrics"]
    assert (directive["Namespace"], metric["Name"]) == ("meet-transcriber", "celery_queue_length")
    assert first["celery_queue_length"] == 1
    assert second["_aws"]["Timestamp"] > first["_aws"]["Timestamp"]


def test_health_wants_a_worker_of_this_host(system: System) -> None:
    assert system.run("health").returncode == 1
    assert system.run("health", "--store-only").returncode == 0
    system.worker()
    wait_for(system.workers)
    assert system.run("health").returncode == 0
