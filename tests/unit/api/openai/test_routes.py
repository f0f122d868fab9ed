"""Requests from taking in to their answer: errors in OpenAI's envelope, jobs behind each."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from meet_transcriber.api.openai.requests import FIELDS
from meet_transcriber.api.routes.events import StreamLimiter
from meet_transcriber.core.errors import RecognitionFailed, UnreadableAudio
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.ports.engines import Finding, Progress, Waveform
from meet_transcriber.service import Policy, Service
from tests.unit.api.openai.app_fixture import TEXT, at_work, call, make_app, post, transcribed
from tests.unit.api.secured_app import SecuredApp
from tests.unit.api.service_fixture import FakeRecognizer, make_service, stored_keys

KEY = {"idempotency-key": "one"}


class Raising(FakeRecognizer):
    """A recognizer that meets an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        raise self._error


def error_in(answer: httpx.Response) -> dict[str, Any]:
    """The envelope's inside, which always has four keys."""
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def jobs(service: Service) -> list[Job]:
    return service.queries.page(JobQuery())


def test_the_job_stays_and_its_id_is_returned(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with at_work(service):
        answer = post(make_app(service))
    assert [job.id for job in jobs(service)] == [answer.headers["x-job-id"]]
    assert jobs(service)[0].name == "standup.wav"


def test_fields_may_be_in_the_query(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with at_work(service):
        files = {"file": ("a.wav", b"tape")}
        path = "/v1/audio/transcriptions?model=base&response_format=text"
        assert call(make_app(service), "POST", path, files=files).text == TEXT + "\n"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/chat/completions", 404),
        ("GET", "/v1/models/a%0Ab", 404),
        ("GET", "/v1/a%0Ab", 404),
        ("GET", "/v1/audio/transcriptions", 405),
        ("DELETE", "/v1/models/whisper-1", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/audio/transcriptions", 415),
    ],
)
def test_strange_requests_are_answered_in_the_envelope(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    answer = call(make_app(make_service(tmp_path)), method, path)
    assert answer.status_code == status
    assert error_in(answer)["type"] == "invalid_request_error"
    assert ("allow" in answer.headers) == (status == 405)


def test_a_refused_field_leaves_nothing_behind(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    answer = post(make_app(service), [("frobnicate", "1")])
    assert (answer.status_code, error_in(answer)["param"]) == (400, "frobnicate")
    assert (jobs(service), stored_keys(service)) == ([], [])


def test_a_request_without_a_file_is_refused(tmp_path: Path) -> None:
    files = {"model": (None, "base")}
    answer = call(make_app(make_service(tmp_path)), "POST", "/v1/audio/translations", files=files)
    assert (answer.status_code, error_in(answer)["param"]) == (400, "file")


def test_a_recording_over_the_limit_is_413(tmp_path: Path) -> None:
    service = make_service(tmp_path, Policy(max_upload_bytes=9))
    answer = post(make_app(service), data=bytes(10))
    assert (answer.status_code, error_in(answer)["code"]) == (413, "upload_too_large")


def test_an_empty_recording_is_400(tmp_path: Path) -> None:
    answer = post(make_app(make_service(tmp_path)), data=b"")
    assert (answer.status_code, error_in(answer)["code"]) == (400, "unsupported_format")


def test_options_that_contradict_each_other_are_400(tmp_path: Path) -> None:
    fields = [("diarization", "true"), ("min_speakers", "4"), ("max_speakers", "2")]
    answer = post(make_app(make_service(tmp_path)), fields)
    assert (answer.status_code, error_in(answer)["code"]) == (400, "invalid_options")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnreadableAudio("It breaks off."), 400, "unreadable_audio"),
        (RecognitionFailed("It went wrong."), 500, "recognition_failed"),
        (KeyError("x"), 500, "worker_error"),
    ],
)
def test_a_failed_job_is_an_error_of_its_kind(
    tmp_path: Path, error: Exception, status: int, code: str
) -> None:
    service = make_service(tmp_path)
    with at_work(service, Raising(error)):
        answer = post(make_app(service))
    assert (answer.status_code, error_in(answer)["code"]) == (status, code)
    assert answer.headers["x-should-retry"] == "false", "it would end the same way"


def test_a_timeout_is_504_and_the_job_continues(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    answer = post(make_app(service, sync_limit_seconds=0.2))
    assert (answer.status_code, error_in(answer)["code"]) == (504, "still_running")
    job_id = answer.headers["x-job-id"]
    assert answer.headers["location"] == f"/transcribe/{job_id}"
    assert service.queries.job(job_id).state == "pending"


@pytest.mark.parametrize("fields", [[], [("stream", "true")]], ids=["whole", "events"])
def test_waiting_requests_of_a_tenant_are_limited(
    tmp_path: Path, fields: list[tuple[str, str]]
) -> None:
    service = make_service(tmp_path)
    app = make_app(service)
    app.state.streams = StreamLimiter(most=1)
    with at_work(service):
        for _ in range(2):
            assert post(app, fields).is_success
        with app.state.streams.acquire(""):
            refused = post(app, fields)
    assert refused.status_code == 429
    assert error_in(refused)["code"] == "rate_limited"
    assert len(jobs(service)) == 2


@pytest.mark.parametrize("fields", [{}, {"stream": "true"}], ids=["whole", "events"])
def test_a_request_whose_key_is_revoked_ends_and_its_job_stays(
    secured: SecuredApp, fields: dict[str, str]
) -> None:
    made = secured.key("read", "submit")
    form = {"model": (None, "base"), "file": ("a.wav", b"tape")}
    sent: dict[str, Any] = {"headers": {"X-API-Key": made.token}, "files": form, "data": fields}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(secured.client.post, "/v1/audio/transcriptions", **sent)
        while not jobs(secured.service.for_tenant("")):  # nobody works on it
            time.sleep(0.01)
        secured.guard.keyring.revoke(made.key.id)
        answer = waiting.result(20)
    assert answer.status_code == (200 if fields else 401)
    assert "This API key was revoked" in answer.text
    assert len(jobs(secured.service.for_tenant(""))) == 1


def test_a_cancelled_job_is_409(tmp_path: Path) -> None:
    service = make_service(tmp_path)

    def cancel() -> None:
        while not jobs(service):
            time.sleep(0.01)
        service.commands.cancel(jobs(service)[0].id)

    threading.Thread(target=cancel).start()
    answer = post(make_app(service))
    assert (answer.status_code, error_in(answer)["code"]) == (409, "job_cancelled")


# -- beside the native routes ------------------------------------------------------------------


def test_the_whole_app_answers_v1_in_its_own_way(client: TestClient) -> None:
    assert client.get("/v1/models").json()["object"] == "list"
    assert set(client.get("/v1/nothing").json()) == {"error"}
    assert client.get("/nothing").headers["content-type"] == "application/problem+json"


def test_the_document_contains_each_field(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/v1/audio/transcriptions"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    told = {name.removesuffix("[]") for name in form["properties"]}
    assert told == {*FIELDS}


# -- idempotency -------------------------------------------------------------------------------


def test_the_same_key_joins_the_job(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    app = make_app(service, sync_limit_seconds=0.2)
    assert post(app, headers=KEY).status_code == 504
    with at_work(service):
        answer = post(make_app(service), headers=KEY)
    assert (answer.status_code, answer.json()["text"], len(jobs(service))) == (200, TEXT, 1)


def test_a_request_waits_until_the_first_with_its_key_has_arrived(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    first = service.submissions.start_upload("standup.wav", "one")
    threading.Timer(0.5, first.abandon).start()
    with at_work(service):
        assert post(make_app(service), headers=KEY).status_code == 200


def test_the_same_key_for_another_recording_is_422(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with at_work(service):
        post(make_app(service), headers=KEY)
        answer = post(make_app(service), headers=KEY, data=b"another")
    assert (answer.status_code, error_in(answer)["code"]) == (422, "idempotency_mismatch")


def test_another_format_of_the_same_request_costs_no_work(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with at_work(service):
        post(make_app(service), headers=KEY)
    assert post(make_app(service), [("response_format", "text")], headers=KEY).text == TEXT + "\n"


def test_translations_are_transcribed_with_that_task(tmp_path: Path) -> None:
    assert transcribed(tmp_path, task="translations").json()["text"] == TEXT
