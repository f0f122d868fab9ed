"""A collector receives one trace from a request to the last task of its job."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.hearing import TINY
from tests.redis_server import RedisServer, free_port
from tests.simulated.system import System, end, recording, wait_for
from tests.system.otlp_receiver import Collector, Seen, collector

STAGES = {"prepare", "diarize", "recognize", "attribute"}


@pytest.fixture
def heard() -> Iterator[Collector]:
    with collector() as server:
        yield server


def told(heard: Collector, **more: str) -> dict[str, str]:
    """What makes a process send its spans there, soon."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": heard.url, "OTEL_BSP_SCHEDULE_DELAY": "200", **more}


def job_of(system: System, heard: Collector, stages: set[str]) -> list[Seen]:
    """The spans of a recording's trace, once its job has ended and all of them arrived."""
    port, context = system.settings.api_port, f"00-{'5' * 32}-{'7' * 16}-01"
    wait_for(lambda: system.service.context.jobs.workers(0.0) and _answers(port))
    files = {"file": ("standup.wav", recording(1))}
    sent = httpx.post(
        f"http://127.0.0.1:{port}/transcribe?initial_prompt=merger",
        files=files,
        headers={"traceparent": context, "X-Request-ID": "from-the-sender"},
        timeout=60,
    )
    assert system.ended(sent.raise_for_status().json()["job_id"]).state == "completed"
    wait_for(lambda: {span.name for span in heard.spans} >= stages | {"POST /transcribe"})
    return [span for span in heard.spans if span.trace == "5" * 32]


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    except httpx.TransportError:
        return False


def _is_one_trace(spans: list[Seen], stages: set[str]) -> None:
    assert not {word for word in ("merger", "standup") if word in str(spans)}
    (request,) = [span for span in spans if span.name == "POST /transcribe"]
    tasks = [span for span in spans if span.name in STAGES]
    assert (request.parent, request.service) == ("7" * 16, "meet-transcriber-api")
    assert {task.name for task in tasks} == stages
    assert {task.parent for task in tasks} == {request.span}
    assert {task.service for task in tasks} == {"meet-transcriber-worker"}
    assert {task.pairs["request_id"] for task in tasks} == {"from-the-sender"}


def test_a_job_of_two_workers_is_one_trace(tmp_path: Path, heard: Collector) -> None:
    with (
        RedisServer(tmp_path / "redis") as redis,
        System(tmp_path / "system", API_PORT=free_port(), REDIS_URL=redis.url, **TINY) as system,
    ):
        system.start("-m", "meet_transcriber", "serve", more=told(heard))
        for queue in ("recognize", "cpu"):
            system.celery(queue, "-Q", queue, **told(heard))
        wait_for(lambda: [worker.state for worker in system.workers()] == ["ready", "ready"])
        _is_one_trace(job_of(system, heard, STAGES), STAGES)
        wait_for(lambda: any(span.name.startswith("run/") for span in heard.spans))


def test_a_job_of_the_embedded_worker_is_one_trace(tmp_path: Path, heard: Collector) -> None:
    stages = STAGES - {"recognize"}  # it is real, and there is no speech in the recording
    with System(tmp_path, API_PORT=free_port(), **TINY) as system:
        system.start("-m", "meet_transcriber", "serve", more=told(heard, EMBEDDED_WORKER="on"))
        _is_one_trace(job_of(system, heard, stages), stages)


def test_a_collector_that_never_answers_blocks_nothing(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        RedisServer(tmp_path / "redis") as redis,
        System(tmp_path / "system", API_PORT=free_port(), REDIS_URL=redis.url, **TINY) as system,
    ):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        patient = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        processes = [
            system.start("-m", "meet_transcriber", "serve", more=patient),
            system.celery(**patient),
        ]
        port = system.settings.api_port
        wait_for(lambda: _answers(port))
        files = {"file": ("standup.wav", recording(1))}
        sent = httpx.post(f"http://127.0.0.1:{port}/transcribe", files=files, timeout=60)
        assert system.ended(sent.raise_for_status().json()["job_id"]).state == "completed"
        for process in processes:
            end(process)


def test_without_an_endpoint_opentelemetry_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from meet_transcriber.settings import Settings;"
        "from meet_transcriber.api.app import build; build(Settings());"
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"DATA_DIR": str(tmp_path)}, check=False
    )
    assert done.returncode == 0
