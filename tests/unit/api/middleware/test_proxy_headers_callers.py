"""AUTH_MODE=loopback: this machine alone, no proxy, no rebound name."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from meet_transcriber.api.middleware.proxy_headers import (
    Proxies,
    ProxyHeadersMiddleware,
    non_local_reason,
)
from meet_transcriber.api.middleware.security import LoopbackOnlyMiddleware


async def whoever(request: Request) -> Response:
    return PlainTextResponse(f"{request.client.host if request.client else ''} {request.url}")


def client_at(
    address: str, host: str = "127.0.0.1:8000", trusted: str = "", local: bool = True
) -> TestClient:
    app = Starlette(routes=[Route("/transcribe", whoever, methods=["GET", "POST"])])
    if local:
        app.add_middleware(LoopbackOnlyMiddleware)
    app.add_middleware(ProxyHeadersMiddleware, proxies=Proxies([trusted] if trusted else []))
    return TestClient(app, base_url=f"http://{host}", client=(address, 5))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "localhost:8000", "[::1]:8000", "127.0.0.2"]
)
def test_this_machine_comes_in(peer: str, host: str) -> None:
    assert client_at(peer, host).post("/transcribe").status_code == 200


@pytest.mark.parametrize("peer", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "", "testclient"])
def test_a_stranger_does_not(peer: str) -> None:
    answer = client_at(peer).get("/transcribe")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_local")
    assert "AUTH_MODE=required" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "localhost.attacker.example",
        "127.0.0.1.nip.io",
        "127.0.0.1@x",
        "0.0.0.0",
    ],
)
def test_a_name_that_was_bound_to_this_machine_does_not(host: str) -> None:
    client = client_at("127.0.0.1")
    assert client.get("/transcribe", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via",
     "CF-Connecting-IP", "True-Client-IP", "X-Envoy-External-Address", "Client-IP",
     "X-Remote-Addr", "X-Originating-IP", "Proxy-Client-IP", "X-Amzn-Trace-Id"],
)  # fmt: skip
def test_what_a_proxy_hands_on_does_not(name: str) -> None:
    answer = client_at("127.0.0.1").get("/transcribe", headers={name: "127.0.0.1"})
    assert answer.status_code == 403
    assert name.lower() in answer.json()["detail"]


def test_what_a_proxy_hands_on_without_a_word_does_not() -> None:
    said = {"client": ("127.0.0.1", 5), "headers": [(b"host", b"127.0.0.1:8000")]}
    assert non_local_reason({**said, "http_version": "1.1"}) is None
    assert "HTTP/1.0" in (non_local_reason({**said, "http_version": "1.0"}) or "")


def test_a_trusted_proxy_makes_nobody_local() -> None:
    client = client_at("10.0.0.1", trusted="10.0.0.0/8")
    sent = {"X-Forwarded-For": "127.0.0.1"}
    assert client.get("/transcribe", headers=sent).status_code == 403


def test_the_client_behind_a_trusted_proxy_is_the_one_who_asks() -> None:
    client = client_at("10.0.0.1", trusted="10.0.0.0/8", local=False)
    sent = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9", "X-Forwarded-Proto": "https"}
    assert client.get("/transcribe", headers=sent).text.startswith("203.0.113.9 https://")
    sent["X-Forwarded-For"] = "garbage"
    assert client.get("/transcribe", headers=sent).text.startswith("10.0.0.1 ")
