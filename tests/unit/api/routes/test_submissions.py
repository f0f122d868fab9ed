"""Submitting recordings, with their options wherever they are put."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from meet_transcriber.service import Service
from tests.unit.api.service_fixture import complete_job, stored_keys, work

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
URL = "https://media.example/standup.mp3"
FILE = {"file": ("standup.wav", b"tape")}


def status(client: TestClient, answer: Any) -> Any:
    assert answer.status_code == 202, answer.text
    return client.get(answer.headers["Location"]).json()


def test_a_submission_returns_the_location_of_its_job(client: TestClient) -> None:
    answer = client.post("/transcribe", files=FILE, data={"language": "en"})
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == body["links"]["self"] == f"/transcribe/{body['job_id']}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert (body["status"], body["queue_position"]) == ("pending", 1)


def test_a_submission_is_queued(client: TestClient, service: Service) -> None:
    job_id = client.post("/transcribe", files=FILE).json()["job_id"]
    assert service.context.queue.notified == [("cpu", job_id, "prepare")]  # type: ignore[attr-defined]


def test_form_query_and_json_mean_the_same(client: TestClient) -> None:
    wanted = {"language": "en", "num_speakers": "2", "word_timestamps": "false"}
    json = {"url": URL, "language": "en", "num_speakers": 2, "word_timestamps": False}
    seen = [
        status(client, client.post("/transcribe", files=FILE, data=wanted)),
        status(client, client.post("/transcribe", files=FILE, params=wanted)),
        status(client, client.post("/transcribe", json=json)),
        status(client, client.post("/transcribe", data={**wanted, "url": URL})),
        status(client, client.post("/transcribe", params={**wanted, "url": URL})),
    ]
    assert [each["options"] for each in seen] == [seen[0]["options"]] * 5
    assert seen[0]["options"]["language"] == "en"


def test_hints_are_echoed_beside_what_was_found(client: TestClient, service: Service) -> None:
    answer = client.post("/transcribe", files=FILE, data={"min_speakers": 2, "max_speakers": 4})
    work(service)
    seen = status(client, answer)
    assert seen["speakers_requested"] == {"num": None, "min": 2, "max": 4}
    assert seen["speakers_found"] == 2


@pytest.mark.parametrize(
    "request_",
    [
        {"files": FILE, "data": {"languge": "en"}},
        {"files": FILE, "params": {"languge": "en"}},
        {"json": {"url": URL, "languge": "en"}},
        {"data": {"url": URL, "languge": "en"}},
    ],
    ids=["form", "query", "json", "urlencoded"],
)
def test_an_unknown_option_is_refused_everywhere(
    client: TestClient, service: Service, request_: dict[str, Any]
) -> None:
    answer = client.post("/transcribe", **request_)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == "languge"
    assert "enable_diarization" in answer.json()["detail"]
    assert stored_keys(service) == []


def test_an_option_in_form_and_query_must_agree(client: TestClient) -> None:
    send: dict[str, Any] = {"files": FILE, "data": {"language": "en"}}
    assert client.post("/transcribe", **send, params={"language": "de"}).status_code == 422
    assert client.post("/transcribe", **send, params={"language": "en"}).status_code == 202


def test_without_word_times_there_is_still_text(client: TestClient, service: Service) -> None:
    answer = client.post("/transcribe", files=FILE, data={"word_timestamps": "false"})
    work(service)
    segment = status(client, answer)["transcript"]["segments"][0]
    assert segment["text"] == "word0 ends."
    assert "words" not in segment


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, 422),
        ({"files": {"file": ("empty.wav", b"")}}, 415),
        ({"files": FILE, "data": {"url": URL}}, 422),
        ({"files": [("file", ("a", b"1")), ("file", ("b", b"2"))]}, 422),
        ({"files": {"audio": ("a.wav", b"1")}}, 422),
        ({"json": {"url": "http://127.0.0.1/"}}, 422),
        ({"json": [1]}, 422),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "audio/wav"}}, 415),
        ({"content": b"\xff=1", "headers": URLENCODED}, 400),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"files": FILE, "data": {"webhook_url": "http://10.0.0.1/"}}, 422),
        ({"files": FILE, "data": {"num_speakers": "51"}}, 422),
        ({"files": FILE, "headers": {"Idempotency-Key": "k" * 300}}, 422),
    ],
)  # fmt: skip
def test_an_impossible_request_is_refused_and_leaves_nothing(
    client: TestClient, service: Service, request_: dict[str, Any], code: int
) -> None:
    answer = client.post("/transcribe", **request_)
    assert answer.status_code == code, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert stored_keys(service) == []


def test_the_same_key_gives_the_same_job_once(client: TestClient) -> None:
    send: dict[str, Any] = {"files": FILE, "headers": {"Idempotency-Key": "once"}}
    first, again = (client.post("/transcribe", **send) for _ in range(2))
    assert first.json()["job_id"] == again.json()["job_id"]
    assert len(client.get("/transcribe").json()["data"]) == 1


def test_the_same_key_for_another_request_is_a_mismatch(client: TestClient) -> None:
    head = {"Idempotency-Key": "once"}
    client.post("/transcribe", files=FILE, headers=head)
    for change in ({"data": {"language": "en"}}, {"files": {"file": ("b.wav", b"other")}}):
        send: dict[str, Any] = {"files": FILE, "headers": head, **change}
        answer = client.post("/transcribe", **send)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")


def test_an_idempotency_key_of_an_unfinished_upload_is_in_progress(
    client: TestClient, service: Service
) -> None:
    service.submissions.start_upload("first.wav", "once")
    answer = client.post("/transcribe", files=FILE, headers={"Idempotency-Key": "once"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")


def test_a_rerun_applies_other_options(client: TestClient, service: Service) -> None:
    job = complete_job(service)
    answer = client.post(
        f"/transcribe/{job.id}/rerun", json={"tasks": ["diarize"], "options": {"num_speakers": 2}}
    )
    assert status(client, answer)["speakers_requested"]["num"] == 2
    assert work(service) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [({"tasks": ["sing"]}, 422), ({"options": {"url": "x"}}, 422), ({"task": []}, 422),
     ({"tasks": "diarize"}, 422), ({"options": []}, 422), ({"options": [1]}, 422),
     ({"tasks": False}, 422), ({"tasks": None, "options": None}, 202)],
)  # fmt: skip
def test_an_invalid_rerun_is_refused(
    client: TestClient, service: Service, body: dict[str, object], code: int
) -> None:
    answer = client.post(f"/transcribe/{complete_job(service).id}/rerun", json=body)
    assert answer.status_code == code, answer.text
