"""Every output line of API and worker is JSON with the ids of its request, and has no secret."""

import json
import os
import signal
from pathlib import Path

import httpx

from tests.redis_server import RedisServer, free_port
from tests.simulated.children import children_of
from tests.simulated.system import System, end, recording, wait_for

MARK = "zq7-merger"
SHUTDOWN = "worker: Warm shutdown (MainProcess)"
"""Celery writes it by itself, past all logs."""


def test_every_line_is_json_with_ids_and_without_request_content(tmp_path: Path) -> None:
    out, port = tmp_path / "out", free_port()
    with (
        RedisServer(tmp_path / "redis") as redis,
        System(tmp_path / "system", REDIS_URL=redis.url, LOG_JSON="true") as system,
    ):
        uvicorn = f"-m uvicorn src.api.main:app --host 127.0.0.1 --port {port}"
        celery = "-m celery -A tests.simulated.celery_app worker --loglevel=INFO -c 1"
        api, worker = (system.start(*words.split(), out=out) for words in (uvicorn, celery))
        wait_for(lambda: [each.state for each in system.workers()] == ["ready"])
        wait_for(lambda: "Uvicorn running" in out.read_text())
        job_id = _send(f"http://127.0.0.1:{port}")
        assert system.ended(job_id).state == "completed"
        (child, *_) = children_of(worker.pid)
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: "exited with" in out.read_text())
        end(worker), end(api)
    text = out.read_text()
    assert MARK not in text
    lines = [json.loads(line) for line in text.splitlines() if line not in {"", SHUTDOWN}]
    events = [line["event"] for line in lines if line.get("request_id") == "of-the-sender"]
    assert (events.count("request_answered"), events.count("job_finished")) == (2, 1)
    assert events.count("task_ended") == 4
    assert {line["job_id"] for line in lines if "job_id" in line} == {job_id}


def _send(url: str) -> str:
    """Send a recording, and look for it, with a mark wherever a caller may put one."""
    headers = {"X-Request-ID": "of-the-sender", "Authorization": f"Bearer {MARK}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        sent = client.post(
            "/transcribe",
            files={"file": (f"{MARK}.wav", recording(1))},
            data={"initial_prompt": MARK, "hotwords": MARK},
        )
        client.get(f"/transcribe?search={MARK}").raise_for_status()
    return str(sent.raise_for_status().json()["job_id"])
