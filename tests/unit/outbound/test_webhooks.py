"""Standard Webhooks: signatures, the schedule, and what each answer means."""

import base64
import hashlib
import hmac
import socket
import threading
import time
from email.utils import formatdate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.outbound.webhooks import (
    MAX_RETRY_AFTER_SECONDS,
    SCHEDULE_SECONDS,
    WebhookSender,
    new_secret,
    next_attempt,
    parse_retry_after,
    parse_secret,
    sign,
    tenant_secret,
)
from meet_transcriber.ports.outbound import Delivery
from tests.unit.outbound.sites import Answer, Request, ScriptedResolver, Site, always, redirect

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the Standard Webhooks documentation
NOW = 1_614_265_330


def deliver(url: str, sender: WebhookSender | None = None, secret: str | None = SECRET) -> Delivery:
    sender = sender or WebhookSender(["127.0.0.1"], timeout_seconds=5)
    return sender.send(url, b'{"a":1}', message_id="msg_1", timestamp=NOW, secret=secret)


def by_hand(secret: str, message: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, message, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def test_the_signature_is_that_of_the_documentation() -> None:
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(
    st.binary(min_size=24, max_size=64),
    st.from_regex(r"[A-Za-z0-9_]+", fullmatch=True),
    st.integers(0, 1 << 40),
    st.binary(),
)
def test_a_signature_covers_id_time_and_body(
    key: bytes, message_id: str, timestamp: int, body: bytes
) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    message = message_id.encode() + b"." + str(timestamp).encode() + b"." + body
    assert sign(secret, message_id, timestamp, body) == by_hand(secret, message)


def test_every_secret_signs_while_they_rotate() -> None:
    old, new = new_secret(), new_secret()
    signed = sign(f" {new}  {old}\n", "msg_1", NOW, b"x")
    message = f"msg_1.{NOW}.x".encode()
    assert signed == f"{by_hand(new, message)} {by_hand(old, message)}"


def test_new_secrets_are_good_and_different() -> None:
    secrets = {new_secret() for _ in range(10)}
    for secret in secrets:
        parse_secret(secret)
    assert len(secrets) == 10


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_24_to_64_bytes_are_accepted(size: int) -> None:
    parse_secret("whsec_" + base64.b64encode(bytes(size)).decode())


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("s3cret" * 6, "does not begin with whsec_"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "has 23 bytes"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "has 65 bytes"),
        ("whsec_", "has 0 bytes"),
        ("whsec_" + "ab-_" * 9, "is not base64"),
        ("whsec_" + "abcd" * 9 + "a", "is not base64"),
        ("whsec_" + "ä" * 40, "is not base64"),
        (f"{SECRET} changeme", "does not begin with whsec_"),
    ],
)
def test_malformed_secrets_are_refused_with_a_reason(secret: str, reason: str) -> None:
    with pytest.raises(InvalidOptions, match=reason) as caught:
        parse_secret(secret)
    assert "changeme" not in str(caught.value)


def test_attempts_follow_the_schedule_and_end() -> None:
    waits = [next_attempt(made, 1000.0, Random(1)) for made in range(len(SCHEDULE_SECONDS))]
    for wait, planned in zip(waits, SCHEDULE_SECONDS, strict=True):
        assert wait is not None
        assert planned * 0.9 <= wait - 1000 <= planned * 1.1
    assert next_attempt(len(SCHEDULE_SECONDS), 1000.0, Random(1)) is None


def test_attempts_of_many_jobs_are_spread() -> None:
    rng = Random(1)
    assert len({next_attempt(3, 0.0, rng) for _ in range(100)}) > 90


def test_an_attempt_waits_as_long_as_the_receiver_asks() -> None:
    assert next_attempt(1, 1000.0, Random(1), retry_after=600.0) == 1600.0
    later = next_attempt(2, 1000.0, Random(1), retry_after=1.0)
    assert later is not None
    assert later >= 1270.0


def test_a_webhook_carries_body_and_headers(site: Site) -> None:
    site.answers["/hook"] = lambda request: request.send(b"thanks", status=201)
    delivery = deliver(site.url("/hook?token=x"))
    assert (delivery.outcome, delivery.status) == ("delivered", 201)
    (seen,) = site.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/hook?token=x", b'{"a":1}')
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["webhook-id"] == "msg_1"
    assert seen.headers["webhook-timestamp"] == str(NOW)
    assert seen.headers["webhook-signature"] == sign(SECRET, "msg_1", NOW, b'{"a":1}')


def test_without_a_secret_nothing_is_signed(site: Site) -> None:
    deliver(site.url(), secret=None)
    assert "webhook-signature" not in site.seen[0].headers


def test_a_malformed_secret_is_refused_before_sending(site: Site) -> None:
    with pytest.raises(InvalidOptions):
        deliver(site.url(), secret="whsec_short")
    assert site.seen == []


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "delivered"), (204, "delivered"), (410, "gone")]
    + [(status, "retry") for status in (304, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503)],
)
def test_the_status_decides(site: Site, status: int, outcome: str) -> None:
    site.answers["/"] = lambda request: request.head(status, content_length="0")
    delivery = deliver(site.url())
    assert (delivery.outcome, delivery.status) == (outcome, status)
    assert delivery.detail == f"127.0.0.1 answered with status {status}."


@pytest.mark.parametrize("place", ["/next", "http://169.254.169.254/", "http://[::1", "0", "\xff"])
def test_redirects_are_failures(site: Site, place: str) -> None:
    site.answers["/"] = redirect(place, 307)
    assert deliver(site.url()).outcome == "retry"
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("9" * 500, MAX_RETRY_AFTER_SECONDS),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_SECONDS),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_honoured_within_a_day(site: Site, value: str, seconds: float) -> None:
    site.answers["/"] = lambda request: request.send(b"", status=503, retry_after=value)
    assert deliver(site.url()).retry_after == seconds


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_any_retry_after_is_parsed_or_ignored(value: str) -> None:
    wait = parse_retry_after(value, NOW)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER_SECONDS


@pytest.mark.parametrize("host", ["127.0.0.1", "inside.example", "2130706433", "user@a.example"])
def test_forbidden_addresses_are_final(site: Site, host: str) -> None:
    delivery = deliver(site.url(host=host), WebhookSender(resolver=always("127.0.0.1")))
    assert (delivery.outcome, delivery.status) == ("refused", None)
    assert site.seen == []


def test_dns_rebinding_is_refused(site: Site) -> None:
    sender = WebhookSender(
        resolver=ScriptedResolver(rebound_example=[["93.184.215.14"], ["127.0.0.1"]])
    )
    sender.guard.check(site.url(host="rebound.example"))
    assert deliver(site.url(host="rebound.example"), sender).outcome == "refused"


def test_a_name_that_is_not_found_is_tried_again() -> None:
    delivery = deliver("http://a.example/", WebhookSender(resolver=ScriptedResolver()))
    assert delivery.outcome == "retry"
    assert delivery.detail.startswith("a.example was not found")


def silent(request: Request) -> None:
    request.site.closing.wait(10)


def dripping(request: Request) -> None:
    while not request.site.closing.wait(0.02):
        request.wfile.write(b"x")


@pytest.mark.parametrize("answer", [silent, dripping])
def test_slow_receivers_are_tried_again(site: Site, answer: Answer) -> None:
    site.answers["/"] = answer
    begun = time.monotonic()
    delivery = deliver(site.url(), WebhookSender(["127.0.0.1"], timeout_seconds=0.3))
    assert time.monotonic() - begun < 5
    assert delivery.outcome == "retry"
    assert delivery.detail == "127.0.0.1 could not be reached: no response in 0.3 s."


@pytest.mark.parametrize("answer", [silent, dripping])
def test_attempts_that_take_long_are_slow(site: Site, answer: Answer) -> None:
    site.answers["/"] = answer
    assert deliver(site.url(), WebhookSender(["127.0.0.1"], timeout_seconds=0.3)).slow


def test_quick_failures_and_successes_are_not_slow(site: Site) -> None:
    site.answers["/good"] = lambda request: request.send(b"")
    sender = WebhookSender(["127.0.0.1"], timeout_seconds=60)
    assert not deliver(site.url("/good"), sender).slow
    assert not deliver(site.url("/nothing"), sender).slow


def test_a_silent_name_server_is_tried_again() -> None:
    release = threading.Event()

    def wait(_host: str, _port: int) -> list[str]:
        release.wait(30)
        return []

    delivery = deliver("http://a.example/", WebhookSender(resolver=wait, timeout_seconds=0.2))
    assert (delivery.outcome, delivery.slow) == ("retry", True)
    release.set()


def test_the_secret_of_a_tenant_is_derived_from_each_secret() -> None:
    old, new = new_secret(), new_secret()
    derived = tenant_secret(f"{new} {old}", "acme").split()
    assert derived == [tenant_secret(new, "acme"), tenant_secret(old, "acme")]
    assert derived[0] != tenant_secret(new, "acme2") != new
    assert len(parse_secret(tenant_secret(new, "日本"))) == 1


def test_the_secret_of_a_tenant_stays() -> None:
    """Receivers have a copy."""
    wanted = (
        "whsec_"
        + base64.b64encode(
            hmac.digest(parse_secret(SECRET)[0], b"webhooks of acme", "sha256")
        ).decode()
    )
    assert tenant_secret(SECRET, "acme") == wanted
    assert tenant_secret(SECRET, "") == SECRET


def test_a_closed_port_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert deliver(f"http://127.0.0.1:{port}/").outcome == "retry"


def test_the_answers_body_is_not_read(site: Site) -> None:
    def endless(request: Request) -> None:
        request.head()
        while not request.site.closing.is_set():
            request.wfile.write(b"x" * 65_536)

    site.answers["/"] = endless
    assert deliver(site.url()).outcome == "delivered"


def test_a_delivery_does_not_reveal_the_token_in_the_address(site: Site) -> None:
    assert "token" not in repr(deliver(site.url("/?token=x")))
