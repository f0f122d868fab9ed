"""Uploads over HTTP: announced, gone on with, submitted once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from meet_transcriber.api.app import create_app
from meet_transcriber.service import Policy, Service
from meet_transcriber.settings import Settings
from tests.unit.api.secured_app import SecuredApp
from tests.unit.api.service_fixture import make_service, stored_keys

PARTIAL = "application/partial-upload"


def begin(client: TestClient, size: int, **more: object) -> str:
    """The path of a new upload."""
    made = client.post("/uploads", json={"name": "a.wav", "size_bytes": size, **more})
    assert made.status_code == 201, made.text
    path: str = made.headers["location"]
    return path


def append(client: TestClient, path: str, offset: int, data: bytes, kind: str = PARTIAL) -> Any:
    """Send some bytes of an upload."""
    headers = {"Content-Type": kind, "Upload-Offset": str(offset)}
    return client.patch(path, content=data, headers=headers)


def standing(client: TestClient, path: str) -> tuple[str, str, str]:
    """What HEAD says of an upload."""
    found = client.head(path)
    assert (found.status_code, found.headers["cache-control"]) == (200, "no-store")
    return tuple(found.headers[f"upload-{name}"] for name in ("offset", "length", "complete"))  # type: ignore[return-value]


def test_a_recording_sent_in_several_requests_becomes_one_job(
    client: TestClient, service: Service
) -> None:
    path = begin(client, 8)
    assert standing(client, path) == ("0", "8", "?0")
    assert append(client, path, 0, b"tape").headers["upload-offset"] == "4"
    early = client.post("/transcribe", json={"upload": path[9:]})
    assert (early.status_code, early.json()["code"]) == (409, "upload_conflict")
    assert append(client, path, 4, b"tail").status_code == 204
    assert standing(client, path) == ("8", "8", "?1")
    for sent in ({"json": {"upload": path[9:], "language": "en"}},
                 {"params": {"upload": path[9:], "language": "en"}},
                 {"files": {"upload": (None, path[9:]), "language": (None, "en")}}):  # fmt: skip
        answer = client.post("/transcribe", **sent)
        assert (answer.status_code, answer.json()["job_id"]) == (202, path[9:])
    job = service.queries.job(path[9:])
    assert (job.options.language, job.size_bytes, job.name) == ("en", 8, "a.wav")
    assert client.get(path).json()["links"]["job"] == f"/transcribe/{path[9:]}"
    assert client.get("/transcribe").json()["data"][0]["job_id"] == path[9:]


def test_an_upload_is_no_job_before_it_is_submitted(client: TestClient) -> None:
    path = begin(client, 4)
    assert client.get(f"/transcribe/{path[9:]}").status_code == 404
    assert client.get("/transcribe").json()["data"] == []
    entry = client.get(path).json()
    assert (entry["method"], entry["received_bytes"], entry["links"]) == (
        "resumable", 0, {"self": path})  # fmt: skip


def test_a_wrong_offset_returns_the_right_one(client: TestClient) -> None:
    path = begin(client, 8)
    append(client, path, 0, b"tape")
    for offset in (0, 3, 5):
        wrong = append(client, path, offset, b"x")
        assert (wrong.status_code, wrong.headers["upload-offset"]) == (409, "4")
    assert standing(client, path)[0] == "4"


@pytest.mark.parametrize("headers", [{}, {"Upload-Offset": "-1"}, {"Upload-Offset": "x"}])
def test_an_offset_is_needed(client: TestClient, headers: dict[str, str]) -> None:
    path = begin(client, 8)
    answer = client.patch(path, content=b"x", headers={"Content-Type": PARTIAL, **headers})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_options")


def test_bytes_of_another_kind_are_refused(client: TestClient) -> None:
    assert append(client, begin(client, 4), 0, b"tape", "audio/wav").status_code == 415


def test_more_than_was_announced_is_refused(client: TestClient) -> None:
    path = begin(client, 8)
    assert append(client, path, 0, b"123456789").status_code == 413
    pieces: Iterator[bytes] = iter([b"12345678", b"9"])
    headers = {"Content-Type": PARTIAL, "Upload-Offset": "0"}
    assert client.patch(path, content=pieces, headers=headers).status_code == 413
    assert standing(client, path)[0] in {"0", "8"}


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"name": "a"}, 422), ({"name": "a", "size_bytes": 0}, 422),
        ({"name": "a", "size_bytes": True}, 422), ({"name": "a", "size_bytes": 1.5}, 422),
        ({"name": 1, "size_bytes": 1}, 422), ({"name": "a", "size_bytes": 501 << 20}, 413),
        ({"name": "a", "size_bytes": 1, "method": "post"}, 422),
        ({"name": "a", "size_bytes": 1, "method": []}, 422),
        ({"name": "a", "size_bytes": 1, "more": 1}, 422),
    ],
)  # fmt: skip
def test_an_invalid_submission_is_refused(client: TestClient, wish: object, status: int) -> None:
    answer = client.post("/uploads", json=wish)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_bytes_received_before_a_disconnect_count(client: TestClient, service: Service) -> None:
    path = begin(client, 8)
    chunks = iter([b"tap"])

    async def receive() -> Message:
        for chunk in chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        """Nobody is there to read it."""

    headers = [(b"content-type", PARTIAL.encode()), (b"upload-offset", b"0"),
               (b"content-length", b"8"), (b"host", b"testserver")]  # fmt: skip
    scope = {"type": "http", "method": "PATCH", "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": headers, "scheme": "http", "http_version": "1.1",
             "client": ("127.0.0.1", 1), "server": ("testserver", 80)}  # fmt: skip
    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    assert standing(client, path)[0] == "3"
    assert append(client, path, 3, b"etape").status_code == 204
    assert client.post("/transcribe", json={"upload": path[9:]}).status_code == 202


def test_another_process_resumes_an_upload(tmp_path: Path) -> None:
    def process() -> TestClient:
        settings = Settings(_env_file=None, auth_mode="open", data_dir=tmp_path)
        return TestClient(create_app(make_service(tmp_path), settings))

    path = begin(process(), 8)
    assert append(process(), path, 0, b"tape").status_code == 204
    other = process()
    assert standing(other, path)[0] == "4"
    assert append(other, path, 4, b"tail").status_code == 204
    assert process().post("/transcribe", json={"upload": path[9:]}).status_code == 202


def test_a_discarded_upload_is_deleted(client: TestClient, service: Service) -> None:
    path = begin(client, 8)
    append(client, path, 0, b"tape")
    assert client.delete(path).status_code == 204
    assert stored_keys(service) == []
    for answer in (client.head(path), append(client, path, 4, b"x"), client.delete(path)):
        assert answer.status_code == 404


def test_a_job_cannot_be_deleted_as_an_upload(client: TestClient) -> None:
    path = begin(client, 4)
    append(client, path, 0, b"tape")
    client.post("/transcribe", json={"upload": path[9:]})
    assert client.delete(path).status_code == 409
    assert client.get(f"/transcribe/{path[9:]}").status_code == 200


def test_a_job_from_a_form_is_not_an_upload(client: TestClient) -> None:
    job_id = client.post("/transcribe", files={"file": ("a.wav", b"tape")}).json()["job_id"]
    answer = client.post("/transcribe", json={"upload": job_id})
    assert (answer.status_code, answer.json()["code"]) == (404, "upload_not_found")


@pytest.mark.parametrize("more", [{"url": "https://media.example/a.mp3"}, {"langauge": "en"}])
def test_an_upload_comes_with_options_that_exist(client: TestClient, more: object) -> None:
    path = begin(client, 4)
    answer = client.post("/transcribe", json={"upload": path[9:], **dict(more)})  # type: ignore[call-overload]
    assert answer.status_code == 422


def test_uploads_count_towards_what_a_tenant_may_keep(tmp_path: Path) -> None:
    service = make_service(tmp_path, Policy(max_stored_bytes=10, max_jobs_in_flight=1))
    settings = Settings(_env_file=None, auth_mode="open", data_dir=tmp_path)
    client = TestClient(create_app(service, settings))
    path = begin(client, 10)
    full = client.post("/uploads", json={"name": "b.wav", "size_bytes": 1})
    assert (full.status_code, full.json()["code"]) == (429, "quota_exceeded")
    append(client, path, 0, b"0123456789")
    assert client.post("/transcribe", json={"upload": path[9:]}).status_code == 202
    service.commands.delete(path[9:])
    assert begin(client, 10)


def test_uploads_are_audited(secured: SecuredApp) -> None:
    headers = secured.bearer("submit")
    wish = {"name": "a.wav", "size_bytes": 4}
    path = secured.client.post("/uploads", json=wish, headers=headers).json()["links"]["self"]
    secured.client.delete(path, headers=headers)
    found = [(each.action, each.job) for each in reversed(secured.trail())]
    assert found == [("upload", path[9:]), ("discard", path[9:])]
