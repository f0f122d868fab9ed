"""Receivers verify our webhooks with the packages they already have."""

import time
from collections.abc import Callable, Mapping

import openai
import pytest
import standardwebhooks

from meet_transcriber.core.jobs import Failure, Job
from meet_transcriber.core.options import Options
from meet_transcriber.outbound.webhooks import new_secret, sign
from meet_transcriber.service.webhooks import event

Receive = Callable[[str, bytes, Mapping[str, str]], str]
FAILURE = Failure("fetch_failed", "Gespräch über Öl 会议")
BODY = event(Job("j1", Options(), state="failed", error=FAILURE, finished_at=time.time()))


def headers(secret: str, timestamp: int | None = None) -> dict[str, str]:
    now = int(time.time()) if timestamp is None else timestamp
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, "msg_1", now, BODY),
    }


def receive_with_openai(secret: str, body: bytes, sent: Mapping[str, str]) -> str:
    client = openai.OpenAI(api_key="x", webhook_secret=secret)
    try:
        return str(client.webhooks.unwrap(body, dict(sent)).type)
    finally:
        client.close()


def receive_with_standardwebhooks(secret: str, body: bytes, sent: Mapping[str, str]) -> str:
    return str(standardwebhooks.Webhook(secret).verify(body, dict(sent))["type"])


RECEIVERS = pytest.mark.parametrize(
    "receive", [receive_with_openai, receive_with_standardwebhooks], ids=["openai", "standard"]
)
REFUSALS = (openai.InvalidWebhookSignatureError, standardwebhooks.WebhookVerificationError)


@RECEIVERS
def test_our_signature_is_verified(receive: Receive) -> None:
    secret = new_secret()
    assert receive(secret, BODY, headers(secret)) == "job.failed"


@RECEIVERS
def test_both_secrets_verify_during_a_rotation(receive: Receive) -> None:
    old, new = new_secret(), new_secret()
    for secret in (old, new):
        assert receive(secret, BODY, headers(f"{new} {old}")) == "job.failed"


@RECEIVERS
def test_another_secret_body_or_time_is_not_verified(receive: Receive) -> None:
    secret, stale = new_secret(), int(time.time()) - 301
    for body, sent in (
        (BODY, headers(new_secret())),
        (BODY + b" ", headers(secret)),
        (BODY, headers(secret, timestamp=stale)),
    ):
        with pytest.raises(REFUSALS):
            receive(secret, body, sent)
