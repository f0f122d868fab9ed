"""Headers of every answer, and requests that are larger than anybody's."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from meet_transcriber.api.app import create_app
from meet_transcriber.api.middleware.security import (
    HEADERS,
    HEADERS_COUNT,
    URL_BYTES,
    OwnCookiesMiddleware,
    SecurityHeadersMiddleware,
)
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import complete_job, stored_keys

FORM = {"file": ("a.wav", b"tape")}
REQUESTS = [
    ("GET", "/docs"),
    ("GET", "/docs/docs.js"),
    ("GET", "/page/app.js"),
    ("GET", "/openapi.json"),
    ("GET", "/health"),
    ("GET", "/health/ready"),
    ("GET", "/transcribe"),
    ("GET", "/transcribe/JOB"),
    ("GET", "/transcribe/JOB/download"),
    ("GET", "/transcribe/JOB/audio"),
    ("GET", "/transcribe/none"),
    ("POST", "/transcribe"),
    ("PUT", "/transcribe"),
    ("GET", "/nothing"),
    ("GET", "/broken"),
    ("GET", "/v1/models"),
    ("POST", "/v1/audio/transcriptions"),
]


async def broken(_request: object) -> None:
    raise ZeroDivisionError("secret-of-the-service")


@pytest.fixture
def client(service: Service, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(
        service,
        Settings(auth_mode="open", data_dir=tmp_path, cors_origins="https://friend.example"),
    )
    app.router.routes.append(Route("/broken", broken))
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_every_answer_tells_browsers_to_be_careful(
    client: TestClient, service: Service, method: str, path: str
) -> None:
    answer = client.request(method, path.replace("JOB", complete_job(service).id))
    sent = {name.decode(): value.decode() for name, value in HEADERS.items()}
    sent.pop("content-security-policy")
    assert {name: answer.headers[name] for name in sent} == sent
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in answer.headers
    assert "Cache-Control" in answer.headers


@pytest.mark.parametrize(
    "path", ["", "/edits", "/download?format=srt", "/audio", "/peaks"], ids=lambda path: path or "/"
)
def test_shared_caches_keep_no_meeting(client: TestClient, service: Service, path: str) -> None:
    answer = client.get(f"/transcribe/{complete_job(service).id}{path}")
    assert answer.is_success, answer.text
    told = answer.headers["cache-control"]
    assert "no-store" in told or "private" in told


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("allowed", "status"), [("", 403), ("*", 404)])
def test_no_answer_repeats_the_host_of_a_request(
    service: Service, method: str, allowed: str, status: int
) -> None:
    client = open_client(service, "evil.example", allowed_hosts=allowed)
    answer = client.request(method, "/transcribe/", follow_redirects=False)
    assert answer.status_code == status
    assert "evil.example" not in f"{answer.headers}{answer.text}"


def test_no_header_is_there_twice(client: TestClient) -> None:
    for path in ("/docs", "/transcribe", "/broken"):
        names = [name for name, _ in client.get(path).headers.multi_items()]
        assert len(names) == len(set(names))


def test_over_tls_browsers_are_told_to_stay_there(client: TestClient) -> None:
    answer = client.get("https://testserver/health")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_mistake_of_ours_tells_nothing_of_itself(client: TestClient) -> None:
    answer = client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    for inside in ("secret-of-the-service", "ZeroDivision", "Traceback", ".py"):
        assert inside not in answer.text


def test_an_error_after_the_start_of_a_response_starts_no_second_one() -> None:
    sent: list[str] = []

    async def failing(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "scheme": "http", "headers": [], "path": "/", "query_string": b""}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(SecurityHeadersMiddleware(failing)(scope, receive, send))
    assert sent == ["http.response.start"]


@pytest.mark.parametrize("path", ["/transcribe", "/v1/models"])
def test_an_endless_address_is_refused(client: TestClient, path: str) -> None:
    answer = client.get(f"{path}?q=" + "x" * URL_BYTES)
    assert answer.status_code == 414
    assert "KiB" in answer.text


def test_cookies_of_other_programs_are_not_parsed() -> None:
    seen: list[list[bytes]] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append([value for name, value in scope["headers"] if name == b"cookie"])

    quoted = b'a="' + b"\\" * 30_000 + b'"'  # parsing it takes seconds before Python 3.11.10
    cookies = [quoted + b"; ours=1;theirs=2", b'ours="' + b"\\" * 30_000, b"ours", b"ours=3; b"]
    scope = {"type": "http", "headers": [(b"cookie", each) for each in cookies]}
    middleware = OwnCookiesMiddleware(app, ["ours"])
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]
    assert seen == [[b"ours=1", b"", b"ours", b"ours=3"]]


def test_too_many_headers_are_refused(client: TestClient) -> None:
    many = {f"X-{at}": "1" for at in range(HEADERS_COUNT)}
    assert client.get("/health", headers=many).status_code == 431
    assert client.get("/health", headers={"X": "x" * 40_000}).status_code == 431
    assert client.get("/health", headers=dict(list(many.items())[:50])).status_code == 200


@pytest.mark.parametrize(("path", "mebibytes"), [("/transcribe", 7), ("/transcribe/none/rerun", 1)])
def test_a_body_of_json_has_a_limit(
    client: TestClient, service: Service, path: str, mebibytes: int
) -> None:
    body = b'{"url": "' + b"x" * (mebibytes << 20) + b'"}'
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert stored_keys(service) == []


# -- CORS ------------------------------------------------------------------------------------


def test_pages_of_no_other_origin_read_answers_unless_told_so(service: Service) -> None:
    client = TestClient(create_app(service, Settings(auth_mode="open")))
    answer = client.get("/transcribe", headers={"Origin": "https://friend.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_pages_of_a_named_origin_may_and_never_with_cookies(client: TestClient) -> None:
    friend = client.get("/transcribe", headers={"Origin": "https://friend.example"})
    assert friend.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert "Access-Control-Allow-Credentials" not in friend.headers
    stranger = client.get("/transcribe", headers={"Origin": "https://attacker.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers


@pytest.mark.parametrize("mode", ["loopback", "open"])
def test_a_wildcard_is_refused_where_no_key_keeps_pages_out(service: Service, mode: str) -> None:
    with pytest.raises(InvalidOptions, match="CORS_ORIGINS"):
        create_app(service, Settings(auth_mode=mode, cors_origins="*"))


def test_a_wildcard_gives_no_cookies_away(service: Service) -> None:
    settings = Settings(auth_mode="open", cors_origins="*", allowed_hosts="*")
    client = TestClient(create_app(service, settings))
    answer = client.get("/transcribe", headers={"Origin": "https://x.example", "Cookie": "a=b"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


# -- host names ------------------------------------------------------------------------------


def open_client(service: Service, host: str, **changed: Any) -> TestClient:
    """A client of a service that needs no key, reached under this host name."""
    settings = Settings(**{"auth_mode": "open", "allowed_hosts": "", **changed})
    return TestClient(create_app(service, settings), headers={"Host": host})


@pytest.mark.parametrize(
    "host",
    ["192.0.2.7", "192.0.2.7:8000", "[2001:db8::7]:8000", "localhost:8000", "LOCALHOST",
     socket.gethostname(), f"{socket.gethostname().partition('.')[0]}.local"],
)  # fmt: skip
def test_open_answers_to_addresses_and_names_of_this_machine(service: Service, host: str) -> None:
    assert open_client(service, host).get("/transcribe").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["rebind.example", "rebind.example:8000", "127.0.0.1.rebind.example", "localhost.example",
     "127.1", "", "localhost#x", "user@localhost", "127.0.0.1, 127.0.0.1"],
)  # fmt: skip
def test_a_host_name_that_may_be_bound_to_an_open_service_is_refused(
    service: Service, host: str
) -> None:
    client = open_client(service, host)
    for answer in (client.get("/transcribe"), client.post("/transcribe", files=FORM)):
        assert (answer.status_code, answer.json()["code"]) == (403, "host_refused")
        assert "ALLOWED_HOSTS" in answer.json()["detail"]
    openai = client.get("/v1/models")
    assert (openai.status_code, openai.json()["error"]["code"]) == (403, "host_refused")


@pytest.mark.parametrize("allowed", ["Meet.Example, other.example", "meet.example.", "*"])
def test_open_answers_to_listed_names(service: Service, allowed: str) -> None:
    client = open_client(service, "meet.example:443", allowed_hosts=allowed)
    assert client.get("/transcribe").status_code == 200


def test_keys_need_no_host_names(service: Service) -> None:
    client = open_client(service, "meet.example", auth_mode="required")
    assert client.get("/transcribe").status_code == 401


# -- header injection ------------------------------------------------------------------------

NASTY = 'a"b\r\nSet-Cookie: x=1\r\n\r\n<script>.wav'


@pytest.mark.parametrize("path", ["audio", "download?format=txt", "download?format=docx"])
def test_a_recordings_name_cannot_add_headers(
    client: TestClient, service: Service, path: str
) -> None:
    job = complete_job(service, NASTY)
    answer = client.get(f"/transcribe/{job.id}/{path}")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    disposition = answer.headers["Content-Disposition"]
    assert disposition.count('"') == 2
    assert not set("\r\n<>") & set(disposition)


@pytest.mark.parametrize("value", ["a b", "x" * 500, "é", "<script>", "a;b"])
def test_a_request_id_that_is_no_such_thing_is_not_repeated(client: TestClient, value: str) -> None:
    answer = client.get("/health", headers=[(b"X-Request-ID", value.encode())])
    assert answer.headers["X-Request-ID"] != value


def test_a_job_id_is_not_repeated_into_headers(client: TestClient) -> None:
    answer = client.get("/transcribe/a%0d%0aSet-Cookie:%20x=1")
    assert answer.status_code == 404
    assert "Set-Cookie" not in answer.headers
