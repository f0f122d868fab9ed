"""Events of a job while it is worked on, and what becomes of it when nobody listens any more."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message

from meet_transcriber.api.openai.responses import Deltas
from meet_transcriber.core.jobs import JobQuery
from meet_transcriber.service import Service
from tests.unit.api.openai.app_fixture import TEXT, at_work, make_app, post
from tests.unit.api.openai.test_routes import Raising
from tests.unit.api.service_fixture import complete_job, make_service, stored_keys

STREAM = ("stream", "true")
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nbase\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.wav"\r\n\r\ntape\r\n'
    b"%s--b--\r\n"
)
STREAMED = BODY % b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'


def events(folder: Path, *fields: tuple[str, str]) -> list[dict[str, Any]]:
    """The events of a request, each on a line `data: {json}` with an empty line behind it."""
    service = make_service(folder)
    with at_work(service):
        answer = post(make_app(service), [STREAM, *fields])
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-job-id"]
    lines = [line for line in answer.text.split("\n\n") if not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines if line)
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


def test_deltas_add_up_to_the_text_that_comes_last(tmp_path: Path) -> None:
    found = events(tmp_path)
    assert {each["type"] for each in found[:-1]} == {"transcript.text.delta"}
    assert "".join(each["delta"] for each in found[:-1]) == TEXT
    assert (found[-1]["type"], found[-1]["text"]) == ("transcript.text.done", TEXT)
    assert found[-1]["usage"] == {"type": "duration", "seconds": 60}


def test_speakers_come_as_segments_before_the_end(tmp_path: Path) -> None:
    found = events(tmp_path, ("response_format", "diarized_json"))
    said = [each for each in found if each["type"] == "transcript.text.segment"]
    assert [each["speaker"] for each in said] == list("ABABAB")
    assert found[-1]["type"] == "transcript.text.done"
    assert found[-2] == said[-1]


def test_log_probabilities_come_with_each_delta_and_at_the_end(tmp_path: Path) -> None:
    found = events(tmp_path, ("include[]", "logprobs"))
    assert [each["token"] for each in found[0]["logprobs"]] == ["word0", "ends."]
    assert len(found[-1]["logprobs"]) == 12


def test_a_failure_during_a_stream_is_an_error_event(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with at_work(service, Raising(KeyError("x"))):
        answer = post(make_app(service), [STREAM])
    error = json.loads(answer.text.split("data: ")[1])["error"]
    assert (error["code"], error["type"]) == ("worker_error", "server_error")


def test_a_refused_stream_is_a_plain_response(tmp_path: Path) -> None:
    answer = post(make_app(make_service(tmp_path)), [STREAM, ("response_format", "vtt")])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")


def test_parts_are_streamed_in_order_of_the_recording(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    job = complete_job(service)
    late = {name: key for name, key in job.objects.items() if name != "parts/0000.json"}
    deltas = Deltas(service, logprobs=False)
    assert deltas.next_events(type(job)(job.id, job.options, objects=late)) == []
    assert "".join(each["delta"] for each in deltas.next_events(job)) == TEXT
    assert deltas.next_events(job) == []


# -- going away --------------------------------------------------------------------------------


def hang_up(app: FastAPI, service: Service, body: bytes, key: bytes | None = None) -> None:
    """Send a request, wait for its job, and close the connection."""
    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/audio/transcriptions",
        "query_string": b"",
        "headers": [*headers, (b"idempotency-key", key)] if key else headers,
    }
    sent = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if sent:
            return sent.pop()
        if not service.queries.page(JobQuery()):
            await asyncio.sleep(20)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        """Nobody reads it."""

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))


@pytest.mark.parametrize("body", [BODY % b"", STREAMED], ids=["plain", "streamed"])
def test_a_disconnected_request_deletes_its_job(tmp_path: Path, body: bytes) -> None:
    service = make_service(tmp_path)
    hang_up(make_app(service), service, body)
    assert service.queries.page(JobQuery()) == []
    assert stored_keys(service) == []


@pytest.mark.parametrize("body", [BODY % b"", STREAMED], ids=["plain", "streamed"])
def test_with_an_idempotency_key_the_job_continues_and_can_be_joined(
    tmp_path: Path, body: bytes
) -> None:
    service = make_service(tmp_path)
    hang_up(make_app(service), service, body, b"one")
    assert [job.state for job in service.queries.page(JobQuery())] == ["pending"]
