"""Who calls when proxies stand between, and AUTH_MODE=loopback."""

import asyncio
import time
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from meet_transcriber.api.middleware.proxy_headers import (
    ProxyHeadersMiddleware,
    TrustedProxies,
    non_local_reason,
)
from meet_transcriber.api.middleware.rate_limit import client_key
from meet_transcriber.api.middleware.security import RefusalMiddleware, not_local
from meet_transcriber.core.errors import InvalidOptions

PROXIES = TrustedProxies(["10.0.0.0/8", "fd00::/8", "192.0.2.7"])
FOR, FORWARDED, PROTO = "x-forwarded-for", "forwarded", "x-forwarded-proto"


def resolved(peer: str, headers: list[tuple[str, str]]) -> tuple[str, str]:
    """Address and scheme of the client as the application gets them."""

    async def nothing(*_request: Any) -> Any:
        """The application, and the ends of its connection."""

    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "client": (peer, 5),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(ProxyHeadersMiddleware(nothing, PROXIES)(scope, nothing, nothing))
    return scope["client"][0], scope["scheme"]


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("198.51.100.1", [(FOR, "203.0.113.9")], "198.51.100.1"),  # nobody believes this peer
        ("198.51.100.1", [(FORWARDED, "for=203.0.113.9")], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "203.0.113.9")], "203.0.113.9"),
        ("10.0.0.1", [(FOR, "1.1.1.1, 203.0.113.9")], "203.0.113.9"),  # the left one is a claim
        ("10.0.0.1", [(FOR, "1.1.1.1"), (FOR, "203.0.113.9")], "203.0.113.9"),
        ("10.0.0.1", [(FOR, "203.0.113.9, 10.2.2.2, 192.0.2.7")], "203.0.113.9"),
        ("10.0.0.1", [(FOR, "10.3.3.3, 10.2.2.2")], "10.3.3.3"),  # all are ours: the farthest
        ("10.0.0.1", [(FOR, "203.0.113.9, unknown, 10.2.2.2")], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "'; DROP TABLE")], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "203.0.113.9:4711")], "203.0.113.9"),
        ("10.0.0.1", [(FOR, "[2001:db8::1]:4711")], "2001:db8::1"),
        ("10.0.0.1", [(FOR, "2001:db8::1")], "2001:db8::1"),
        ("10.0.0.1", [(FOR, "::ffff:203.0.113.9")], "203.0.113.9"),
        ("::ffff:10.0.0.1", [(FOR, "203.0.113.9")], "203.0.113.9"),
        ("fd00::1", [(FORWARDED, 'for="[2001:db8::1]:4711";proto=https')], "2001:db8::1"),
        ("10.0.0.1", [(FORWARDED, "for=1.1.1.1, For=203.0.113.9;by=10.0.0.1")], "203.0.113.9"),
        ("10.0.0.1", [(FORWARDED, "for=_hidden")], "10.0.0.1"),
        ("10.0.0.1", [(FORWARDED, "for=1.1.1.1"), (FOR, "203.0.113.9")], "203.0.113.9"),
        ("", [(FOR, "203.0.113.9")], ""),
    ],
)
def test_the_rightmost_hop_that_is_no_proxy_is_the_client(
    peer: str, headers: list[tuple[str, str]], address: str
) -> None:
    assert resolved(peer, headers)[0] == address


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ([(FOR, "203.0.113.9"), (PROTO, "https")], "https"),
        ([(FOR, "203.0.113.9"), (PROTO, "http, HTTPS")], "https"),
        ([(FOR, "203.0.113.9"), (PROTO, "gopher")], "http"),
        ([(FORWARDED, "for=203.0.113.9;proto=https")], "https"),
        ([(FOR, "203.0.113.9")], "http"),
    ],
)
def test_a_proxy_tells_the_scheme(headers: list[tuple[str, str]], scheme: str) -> None:
    assert resolved("10.0.0.1", headers) == ("203.0.113.9", scheme)
    assert resolved("198.51.100.1", headers) == ("198.51.100.1", "http")


def test_a_long_chain_of_proxies_leads_to_the_farthest() -> None:
    chain = ", ".join(["10.1.1.1"] * 5000)
    assert resolved("10.0.0.1", [(FOR, chain)])[0] == "10.1.1.1"


@pytest.mark.parametrize("name", [FOR, FORWARDED])
@pytest.mark.parametrize(
    "value",
    ["a" * 60_000, "for=" * 15_000, "-" * 60_000, ";" * 60_000, '"' * 60_000, " " * 60_000,
     "10.1.1.1," * 6000, "for=10.1.1.1," * 4000],
    ids=["letters", "pairs", "dashes", "semicolons", "quotes", "spaces", "hops", "forwarded hops"],
)  # fmt: skip
def test_reading_a_large_header_is_linear(name: str, value: str) -> None:
    began = time.process_time()
    resolved("10.0.0.1", [(name, value)])
    assert (
        time.process_time() - began < 0.1
    )  # "letters" took 27 s when a regular expression read it


@pytest.mark.parametrize("entry", ["nginx", "*"])
def test_what_is_no_network_is_refused_by_the_settings_name(entry: str) -> None:
    with pytest.raises(InvalidOptions, match="TRUSTED_PROXIES"):
        TrustedProxies([entry])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "testclient", True),
    ],
)
def test_one_customers_addresses_of_ipv6_are_one_client(one: str, other: str, same: bool) -> None:
    assert (client_key(one) == client_key(other)) is same


# -- AUTH_MODE=loopback ------------------------------------------------------------------------


async def whoever(request: Request) -> Response:
    return PlainTextResponse(f"{request.client.host if request.client else ''} {request.url}")


def client_at(
    address: str, host: str = "127.0.0.1:8000", trusted: str = "", local: bool = True
) -> TestClient:
    app = Starlette(routes=[Route("/transcribe", whoever, methods=["GET", "POST"])])
    if local:
        app.add_middleware(RefusalMiddleware, refusal=not_local)
    app.add_middleware(ProxyHeadersMiddleware, proxies=TrustedProxies([trusted] if trusted else []))
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
        "127.0.0.1%evil.example",
        "localhost#evil.example",
        "localhost?evil.example",
        "localhost/evil",
        "[::1%25evil]",
        "[::1]evil",
        "localhost:port",
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
    for version in ("0.9", "1.0"):
        assert f"HTTP/{version}" in (non_local_reason({**said, "http_version": version}) or "")


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
