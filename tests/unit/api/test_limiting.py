"""Rate limits as clients meet them."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Scope

from meet_transcriber.api.app import create_app
from meet_transcriber.api.limiting import AddressLimits, KeyLimits
from meet_transcriber.bootstrap.rates import limits
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings

FORM = {"file": ("a.wav", b"tape")}


def settings(**given: Any) -> Settings:
    return Settings(**{"rate_limit": "3/minute", **given})


@pytest.fixture
def make(service: Service) -> Callable[..., TestClient]:
    return lambda **given: TestClient(create_app(service, settings(**given)))


def test_past_the_limit_a_problem_says_when_to_come_back(make: Callable[..., TestClient]) -> None:
    client = make()
    answers = [client.get("/transcribe") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    problem = answers[-1].json()
    assert (problem["code"], problem["title"]) == (
        "rate_limited",
        "Too many requests came in too short a time.",
    )
    assert "RATE_LIMIT sets" in problem["detail"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_every_answer_says_where_the_caller_stands(make: Callable[..., TestClient]) -> None:
    client = make()
    for left in (2, 1, 0, 0):
        headers = client.get("/transcribe").headers
        assert headers["RateLimit-Policy"] == '"address";q=3;w=60'
        assert headers["RateLimit"].startswith(f'"address";r={left};t=')


def test_openai_clients_get_their_own_envelope(make: Callable[..., TestClient]) -> None:
    client = make(rate_limit="1/minute")
    client.get("/v1/models")
    answer = client.post("/v1/audio/transcriptions", files=FORM)
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert answer.headers["x-should-retry"] == "true"
    assert int(answer.headers["retry-after"]) <= 60


def test_submissions_have_a_limit_of_their_own(make: Callable[..., TestClient]) -> None:
    client = make(rate_limit="100/minute", rate_limit_submit="2/minute")
    answers = [client.post("/transcribe", files=FORM) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert "RATE_LIMIT_SUBMIT" in answers[2].json()["detail"]
    assert '"address-submit";q=2;w=60' in answers[0].headers["RateLimit-Policy"]
    assert client.get("/transcribe").status_code == 200


def test_a_refused_upload_leaves_nothing(make: Callable[..., TestClient], service: Service) -> None:
    client = make(rate_limit_submit="1/minute")
    for _ in range(3):
        client.post("/transcribe", files=FORM)
    assert len(service.ground.media.keys("jobs")) == 1
    assert service.ground.jobs.backlog().jobs == {"pending": 1}


def test_probes_are_never_limited(make: Callable[..., TestClient]) -> None:
    client = make(rate_limit="1/minute")
    assert {client.get("/health").status_code for _ in range(20)} == {200}
    assert {client.get("/health/ready").status_code for _ in range(5)} == {503}
    assert "RateLimit" not in client.get("/health").headers


def test_a_zero_turns_limits_off(make: Callable[..., TestClient]) -> None:
    client = make(rate_limit="0", rate_limit_submit="0/minute", rate_limit_failed_auth="0")
    assert "RateLimit" not in client.get("/transcribe").headers


@pytest.mark.parametrize("name", ["rate_limit", "rate_limit_submit", "rate_limit_failed_auth"])
def test_a_rate_that_is_none_is_said_at_the_start(name: str) -> None:
    with pytest.raises(InvalidOptions, match=f"{name.upper()} is not usable"):
        limits(settings(**{name: "sometimes"}))


def test_one_address_does_not_use_up_anothers_share(service: Service) -> None:
    app = create_app(service, settings(trusted_proxies="10.0.0.0/8"))
    client = TestClient(app, client=("10.0.0.1", 5))
    for _ in range(4):
        client.get("/transcribe", headers={"X-Forwarded-For": "203.0.113.9"})
    for address, status in (
        ("203.0.113.9", 429),
        ("203.0.113.8", 200),
        ("6.6.6.6, 203.0.113.9", 429),
    ):
        answer = client.get("/transcribe", headers={"X-Forwarded-For": address})
        assert answer.status_code == status


def test_a_stranger_cannot_choose_the_address_that_counts(service: Service) -> None:
    client = TestClient(create_app(service, settings()))
    statuses = [
        client.get("/transcribe", headers={"X-Forwarded-For": f"203.0.113.{at}"}).status_code
        for at in range(5)
    ]
    assert statuses == [200, 200, 200, 429, 429]


# -- keys ------------------------------------------------------------------------------------


async def guarded(request: Request) -> Response:
    return PlainTextResponse("", 200 if request.headers.get("key") == "right" else 401)


def key_of(scope: Scope) -> str:
    return next((value.decode() for name, value in scope["headers"] if name == b"key"), "")


def guarded_client(middleware: Any, **options: Any) -> TestClient:
    app = Starlette(routes=[Route("/transcribe", guarded), Route("/health", guarded)])
    app.add_middleware(middleware, **options)
    return TestClient(app)


def test_wrong_keys_shut_an_address_out_and_right_ones_do_not() -> None:
    rates = limits(settings(rate_limit="0", rate_limit_failed_auth="3/minute"))
    client = guarded_client(AddressLimits, limits=rates)
    right, wrong = {"key": "right"}, {"key": "wrong"}
    assert {client.get("/transcribe", headers=right).status_code for _ in range(9)} == {200}
    assert [client.get("/transcribe", headers=wrong).status_code for _ in range(4)] == [
        401, 401, 401, 429,
    ]  # fmt: skip
    answer = client.get("/transcribe", headers=right)
    assert (answer.status_code, "RATE_LIMIT_FAILED_AUTH" in answer.text) == (429, True)
    assert client.get("/health", headers=wrong).status_code == 401


def test_each_key_has_its_share_wherever_it_is_used() -> None:
    client = guarded_client(KeyLimits, limits=limits(settings()), key_of=key_of)
    assert [client.get("/transcribe", headers={"key": "right"}).status_code for _ in range(4)] == [
        200, 200, 200, 429,
    ]  # fmt: skip
    assert client.get("/transcribe", headers={"key": "other"}).status_code == 401
    assert "RateLimit" not in client.get("/transcribe").headers
