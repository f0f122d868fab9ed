"""Rate limits as clients meet them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.api.middleware.rate_limit import PIECE_BYTES, AnswerLimitMiddleware
from meet_transcriber.bootstrap.auth import limits
from meet_transcriber.core.auth import DEFAULT_SCOPES, Caller
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings

FORM = {"file": ("a.wav", b"tape")}


def settings(**given: Any) -> Settings:
    return Settings(**{"rate_limit": "3/minute", "auth_mode": "open", **given})


@pytest.fixture
def make(service: Service, tmp_path: Path) -> Callable[..., TestClient]:
    return lambda **given: TestClient(create_app(service, settings(data_dir=tmp_path, **given)))


def test_past_the_limit_a_problem_says_when_to_come_back(make: Callable[..., TestClient]) -> None:
    client = make()
    answers = [client.get("/transcribe") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    problem = answers[-1].json()
    assert (problem["code"], problem["title"]) == (
        "rate_limited",
        "A rate limit was exceeded.",
    )
    assert "RATE_LIMIT;" in problem["detail"]
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
    assert len(service.context.media.keys("jobs")) == 1
    assert service.context.jobs.backlog().jobs == {"pending": 1}


def test_probes_are_never_limited(make: Callable[..., TestClient]) -> None:
    client = make(rate_limit="1/minute")
    assert {client.get("/health").status_code for _ in range(20)} == {200}
    assert {client.get("/health/ready").status_code for _ in range(5)} == {503}
    assert "RateLimit" not in client.get("/health").headers


def test_a_probe_is_no_place_to_try_keys(keyed: Callable[..., Any]) -> None:
    client, (right, _) = keyed(rate_limit="0", rate_limit_failed_auth="3/minute")
    statuses = [ask(client, f"mt_aa_{at}", "/health/ready") for at in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert ask(client, right, "/health/ready") == 429
    assert client.get("/health/ready").status_code == 503  # as no worker is there


def test_a_zero_turns_limits_off(make: Callable[..., TestClient]) -> None:
    client = make(rate_limit="0", rate_limit_submit="0/minute", rate_limit_failed_auth="0")
    assert "RateLimit" not in client.get("/transcribe").headers


@pytest.mark.parametrize("name", ["rate_limit", "rate_limit_submit", "rate_limit_failed_auth"])
def test_a_rate_that_is_none_is_said_at_the_start(name: str) -> None:
    with pytest.raises(InvalidOptions, match=f"{name.upper()} is not usable"):
        limits(settings(**{name: "sometimes"}))


def test_one_address_does_not_use_up_anothers_share(make: Callable[..., TestClient]) -> None:
    client = TestClient(make(trusted_proxies="10.0.0.0/8").app, client=("10.0.0.1", 5))
    for _ in range(4):
        client.get("/transcribe", headers={"X-Forwarded-For": "203.0.113.9"})
    for address, status in (
        ("203.0.113.9", 429),
        ("203.0.113.8", 200),
        ("6.6.6.6, 203.0.113.9", 429),
    ):
        answer = client.get("/transcribe", headers={"X-Forwarded-For": address})
        assert answer.status_code == status


def test_a_stranger_cannot_choose_the_address_that_counts(
    make: Callable[..., TestClient],
) -> None:
    client = make()
    statuses = [
        client.get("/transcribe", headers={"X-Forwarded-For": f"203.0.113.{at}"}).status_code
        for at in range(5)
    ]
    assert statuses == [200, 200, 200, 429, 429]


# -- keys ------------------------------------------------------------------------------------


@pytest.fixture
def keyed(make: Callable[..., TestClient]) -> Callable[..., tuple[TestClient, list[str]]]:
    """A client of an API that asks for keys, and two of them."""

    def made(**given: Any) -> tuple[TestClient, list[str]]:
        client = make(auth_mode="required", **given)
        app: Any = client.app
        keyring = app.state.auth.keyring
        return client, [
            keyring.create(name, name, DEFAULT_SCOPES, None).token for name in ("a", "b")
        ]

    return made


def ask(client: TestClient, key: str, path: str = "/transcribe") -> int:
    return client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code


def test_a_request_that_comes_again_counts_once_for_its_key(keyed: Callable[..., Any]) -> None:
    client, (one, other) = keyed(rate_limit="9/minute")
    for left in (8, 7, 6, 5):
        answer = client.get("/transcribe", headers={"X-API-Key": one})
        states = answer.headers["RateLimit"].split(", ")
        assert [state.split(";t=")[0] for state in states] == [
            f'"address";r={left}',
            f'"key";r={left}',
        ]
    assert (
        '"key";r=8' in client.get("/transcribe", headers={"X-API-Key": other}).headers["RateLimit"]
    )


def test_a_key_that_was_counted_before_is_checked_again(keyed: Callable[..., Any]) -> None:
    client, (one, _) = keyed(rate_limit="9/minute")
    assert [ask(client, one) for _ in range(3)] == [200, 200, 200]
    keyring = client.app.state.auth.keyring
    keyring.revoke(one.split("_")[1])
    answer = client.get("/transcribe", headers={"Authorization": f"Bearer {one}"})
    assert answer.status_code == 401
    assert '"key"' not in answer.headers["RateLimit"]


def test_an_address_past_its_limit_uses_up_no_key(keyed: Callable[..., Any]) -> None:
    client, (one, _) = keyed(rate_limit="3/minute")
    elsewhere = TestClient(client.app, client=("192.0.2.1", 5))
    assert client.get("/transcribe").status_code == 401
    assert [ask(client, one) for _ in range(5)] == [200, 200, 429, 429, 429]
    assert [ask(elsewhere, one), ask(elsewhere, one)] == [200, 429]


def test_wrong_keys_shut_an_address_out_and_right_ones_do_not(keyed: Callable[..., Any]) -> None:
    client, (right, _) = keyed(rate_limit="0", rate_limit_failed_auth="3/minute")
    assert {ask(client, right) for _ in range(9)} == {200}
    assert [ask(client, "mt_abc_wrong") for _ in range(4)] == [401, 401, 401, 429]
    assert ask(client, right) == 429
    assert "RATE_LIMIT_FAILED_AUTH" in client.get("/transcribe").json()["detail"]
    assert client.get("/health").status_code == 200


def test_signing_in_with_wrong_keys_is_limited_too(keyed: Callable[..., Any]) -> None:
    client, _ = keyed(rate_limit="0", rate_limit_failed_auth="2/minute")
    statuses = [client.post("/session", json={"key": "mt_x_y"}).status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]


def test_no_key_at_all_is_no_attempt(keyed: Callable[..., Any]) -> None:
    client, _ = keyed(rate_limit="0", rate_limit_failed_auth="2/minute")
    assert {client.get("/transcribe").status_code for _ in range(9)} == {401}


def test_each_key_has_its_share_from_wherever_it_is_used(keyed: Callable[..., Any]) -> None:
    client, (one, other) = keyed()
    elsewhere = [TestClient(client.app, client=(f"192.0.2.{at}", 5)) for at in range(5)]
    assert [ask(each, one) for each in elsewhere] == [200, 200, 200, 429, 429]
    assert [ask(each, other, "/v1/models") for each in elsewhere[:3]] == [200, 200, 200]
    answer = elsewhere[0].get("/transcribe", headers={"X-API-Key": one})
    assert [part.split(";")[0] for part in answer.headers["RateLimit"].split(", ")] == [
        '"address"',
        '"key"',
    ]


def test_on_ones_own_machine_nothing_is_limited() -> None:
    assert limits(settings(auth_mode="loopback")).off


async def ask_at_once(app: Any, keys: list[str]) -> list[int]:
    """The statuses of requests that are under way at the same time."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver"
    ) as client:
        answers = [client.get("/transcribe", headers={"X-API-Key": key}) for key in keys]
        return [answer.status_code for answer in await asyncio.gather(*answers)]


def test_of_many_keys_tried_at_once_no_more_are_judged_than_may_be_wrong(
    keyed: Callable[..., Any],
) -> None:
    client, (right, _) = keyed(rate_limit="0", rate_limit_failed_auth="3/minute")
    assert ask(client, right) == 200, "its use is recorded, for which the next one need not wait"
    wrong = [f"mt_aa_{number}" for number in range(30)]
    statuses = asyncio.run(ask_at_once(client.app, [right, *wrong, right]))
    assert statuses == [200, *[401] * 3, *[429] * 27, 429]


def test_right_keys_used_at_once_do_not_shut_each_other_out(keyed: Callable[..., Any]) -> None:
    client, (right, _) = keyed(rate_limit="0", rate_limit_failed_auth="3/minute")
    assert set(asyncio.run(ask_at_once(client.app, [right] * 20))) == {200}


@pytest.mark.parametrize("path", ["/session", "/health/ready"])
def test_no_route_tells_a_right_key_from_a_wrong_one_without_counting_it(
    keyed: Callable[..., Any], path: str
) -> None:
    client, (right, _) = keyed(rate_limit="2/minute", rate_limit_failed_auth="0")
    method = "POST" if path == "/session" else "GET"
    elsewhere = [TestClient(client.app, client=(f"192.0.2.{at}", 5)) for at in range(3)]
    headers = {"X-API-Key": right}
    answers = [each.request(method, path, headers=headers).status_code for each in elsewhere]
    assert answers[2] == 429
    assert 429 not in answers[:2]


# -- large answers -------------------------------------------------------------------------------


class Client:
    """Asks for an answer of some bytes, and reads a piece of it whenever it is told to."""

    def __init__(self, middleware: AnswerLimitMiddleware, tenant: str = "a") -> None:
        self._scope = {
            "type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [],
            "state": {"caller": Caller(tenant=tenant)},
        }  # fmt: skip
        self.received: list[Any] = []
        self.pieces = asyncio.Semaphore(0)
        self.task = asyncio.create_task(middleware(self._scope, self._receive, self._send))

    async def _receive(self) -> Any:
        await asyncio.Event().wait()

    async def _send(self, message: Any) -> None:
        self.received.append(message)
        if message["type"] == "http.response.body":
            await self.pieces.acquire()

    async def begin(self) -> int:
        """The status of the answer."""
        while not self.received:
            await asyncio.sleep(0)
        return int(self.received[0]["status"])

    async def end(self) -> int:
        """How many bytes came."""
        for _ in range(100):
            self.pieces.release()
        await self.task
        return sum(len(each.get("body", b"")) for each in self.received)


def answering(size: int) -> AnswerLimitMiddleware:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size)})

    return AnswerLimitMiddleware(app, share=4 * PIECE_BYTES, most=6 * PIECE_BYTES)


def test_clients_that_do_not_read_hold_so_many_large_answers_and_no_more() -> None:
    size = 2 * PIECE_BYTES

    async def course() -> None:
        middleware = answering(size)
        slow = [Client(middleware), Client(middleware)]
        assert [await each.begin() for each in slow] == [200, 200]
        refused, other = Client(middleware), Client(middleware, "b")
        assert await refused.begin() == 429
        assert await other.begin() == 200
        assert await Client(middleware, "b").begin() == 429
        assert await Client(middleware, "c").begin() == 200  # everybody may have one
        assert await slow[0].end() == size
        assert await Client(middleware).begin() == 429  # all together hold too much
        assert await other.end() == size
        assert await Client(middleware).begin() == 200

    asyncio.run(course())


def test_small_answers_are_not_counted() -> None:
    async def course() -> None:
        middleware = answering(PIECE_BYTES)
        assert [await Client(middleware).begin() for _ in range(20)] == [200] * 20

    asyncio.run(course())


def test_pieces_of_large_answers_are_sent_one_after_the_other() -> None:
    async def course() -> list[int]:
        client = Client(answering(2 * PIECE_BYTES + 5))
        await client.end()
        return [len(each["body"]) for each in client.received[1:]]

    assert asyncio.run(course()) == [PIECE_BYTES, PIECE_BYTES, 5, 0]
