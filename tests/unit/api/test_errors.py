"""Errors, all in one shape."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.api.errors import status_of
from meet_transcriber.core import errors
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import make_service

KEYS = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}


def kinds(
    kind: type[errors.TranscriptionError] = errors.TranscriptionError,
) -> Iterator[type[errors.TranscriptionError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from kinds(child)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.JobNotFound, 404),
        (errors.JobNotReady, 409),
        (errors.JobConflict, 409),
        (errors.IdempotencyInProgress, 409),
        (errors.IdempotencyMismatch, 422),
        (errors.InvalidOptions, 422),
        (errors.UnreadableAudio, 422),
        (errors.AudioTooLong, 422),
        (errors.UnsupportedFormat, 415),
        (errors.UploadTooLarge, 413),
        (errors.AddressRefused, 422),
        (errors.FetchError, 422),
        (errors.EngineUnavailable, 503),
        (errors.RecognitionFailed, 500),
        (errors.StorageFull, 507),
        (errors.StorageUnavailable, 503),
        (errors.StorageError, 500),
        (errors.MalformedRequest, 400),
        (errors.EditConflict, 412),
        (errors.KeyRequired, 401),
        (errors.KeyRefused, 401),
        (errors.ScopeMissing, 403),
        (errors.CsrfRefused, 403),
        (errors.KeyNotFound, 404),
        (errors.KeyConflict, 409),
    ],
)
def test_each_error_has_its_status(kind: type[errors.TranscriptionError], status: int) -> None:
    assert status_of(kind("Why.")) == status


@pytest.mark.parametrize("kind", [*kinds()])
def test_every_error_has_some_status(kind: type[errors.TranscriptionError]) -> None:
    assert 400 <= status_of(kind("Why.")) < 600


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PUT", "/transcribe", 405), ("GET", "/transcribe?limit=x", 422),
     ("GET", "/transcribe/none", 404)],
)  # fmt: skip
def test_every_problem_has_the_same_body(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, set(answer.json())) == (status, KEYS)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_a_method_that_is_not_allowed_lists_those_that_are(client: TestClient) -> None:
    assert client.put("/transcribe").headers["Allow"] == "GET, POST"
    assert client.put("/transcribe/x").headers["Allow"] == "DELETE, GET"
    assert client.put("/docs").headers["Allow"] == "GET, HEAD"


def test_invalid_parameters_are_listed(client: TestClient) -> None:
    body = client.get("/transcribe?limit=0&order=up").json()
    assert {each["name"] for each in body["errors"]} == {"limit", "order"}


def test_an_unexpected_error_reveals_no_details(client: TestClient, tmp_path: Path) -> None:
    client.app.state.statuses = None  # type: ignore[attr-defined]
    answer = client.get("/transcribe/none")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "NoneType" not in answer.text
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"]


def test_only_a_valid_request_id_is_adopted(client: TestClient) -> None:
    assert (
        client.get("/health", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    )
    for bad in ("x" * 200, "a b", "é", "<script>", ""):
        head = [(b"X-Request-ID", bad.encode())]
        made = client.get("/health", headers=head).headers["X-Request-ID"]
        assert len(made) == 32


def test_no_origin_may_call_unless_it_is_named(client: TestClient) -> None:
    answer = client.get("/health", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("origins", ["https://a.example", "*"])
def test_a_named_origin_may_call_without_cookies(tmp_path: Path, origins: str) -> None:
    app = create_app(make_service(tmp_path), Settings(cors_origins=origins, data_dir=tmp_path))
    with TestClient(app) as client:
        answer = client.get("/health", headers={"Origin": "https://a.example"})
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "https://a.example"}
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]


def test_problems_are_json_whatever_is_accepted(client: TestClient) -> None:
    answer = client.get("/transcribe/%00%ff%22")
    assert answer.status_code == 404
    assert json.loads(answer.content)["code"] == "job_not_found"
