"""Ids and names that look like paths reach nothing, on any route that takes one."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import make_service, stored_keys, work

SECRET = "root:x:0:0"
PATHS = [
    "../../secret.txt",
    "..;/",
    "../jobs.sqlite3",
    "/etc/passwd",
    "....//....//secret.txt",
    "..\\..\\secret.txt",
    "secret.txt\x00.wav",
    "%2e%2e%2fsecret.txt",
    "C:\\secret.txt",
    "file:///etc/passwd",
]


def _routes(folder: Path) -> Iterator[tuple[str, str]]:
    """Every method and path of the OpenAPI document that has a parameter in it."""
    app = create_app(make_service(folder), Settings())
    for path, operations in app.openapi()["paths"].items():
        if "{" in path:
            yield from ((method.upper(), path) for method in operations)


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    return list(_routes(tmp_path_factory.mktemp("routes")))


@pytest.fixture
def client(service: Service, tmp_path: Path) -> TestClient:
    (tmp_path / "secret.txt").write_text(SECRET)
    return TestClient(
        create_app(service, Settings(auth_mode="open", data_dir=tmp_path / "data")),
        raise_server_exceptions=False,
    )


def test_there_are_routes_to_try(routes: list[tuple[str, str]]) -> None:
    assert len(routes) >= 12
    assert ("GET", "/transcribe/{job_id}/audio") in routes


@pytest.mark.parametrize("value", PATHS)
@pytest.mark.parametrize("safe", ["", "/"], ids=["escaped", "bare"])
def test_no_route_takes_a_path_for_an_id(
    client: TestClient, routes: list[tuple[str, str]], value: str, safe: str
) -> None:
    for method, template in routes:
        path = "/".join(
            quote(value, safe=safe) if part.startswith("{") else part
            for part in template.split("/")
        )
        answer = client.request(method, path)
        assert 400 <= answer.status_code < 500 or answer.status_code == 307, (method, path)
        assert SECRET not in answer.text


@pytest.mark.parametrize("value", PATHS)
def test_a_name_that_is_a_path_stays_inside(
    client: TestClient, service: Service, tmp_path: Path, value: str
) -> None:
    before = {path for path in tmp_path.rglob("*") if "media" not in path.parts}
    answer = client.post("/transcribe", files={"file": (value, b"tape", "audio/wav")})
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    work(service)
    assert all(key.startswith(f"jobs/{job_id}/") for key in stored_keys(service))
    assert not set("/\\\x00") & set(service.queries.job(job_id).name)
    after = {path for path in tmp_path.rglob("*") if "media" not in path.parts}
    assert {path.name.split("-")[0] for path in after - before} <= {
        "audit.jsonl",
        "data",
        "jobs.sqlite3",
    }


@pytest.mark.parametrize("form", ["../txt", "/etc/passwd", "txt/../../secret", "txt\x00"])
def test_a_format_that_is_a_path_is_none(client: TestClient, service: Service, form: str) -> None:
    job_id = client.post("/transcribe", files={"file": ("a.wav", b"tape")}).json()["job_id"]
    work(service)
    answer = client.get(f"/transcribe/{job_id}/download", params={"format": form})
    assert answer.status_code == 422


@pytest.mark.parametrize("value", PATHS)
def test_a_key_of_repetition_that_is_a_path_is_only_a_key(
    client: TestClient, service: Service, value: str
) -> None:
    headers = {"Idempotency-Key": quote(value, safe="/.\\:")}
    answers = [
        client.post("/transcribe", files={"file": ("a.wav", b"tape")}, headers=headers)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len(stored_keys(service)) == 1
