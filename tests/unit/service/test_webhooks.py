"""Webhooks under receivers that do not answer, and tenants that have many of them."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from meet_transcriber.core.jobs import Job, Webhook
from meet_transcriber.core.options import Options
from meet_transcriber.core.transitions import ended
from meet_transcriber.outbound.webhooks import WebhookSender, next_attempt, tenant_secret
from meet_transcriber.ports.outbound import Delivery
from meet_transcriber.service import Maintenance, ServiceContext
from meet_transcriber.service.webhooks import (
    GIVE_UP_SECONDS,
    SlowReceivers,
    WebhookDispatcher,
    event,
)
from tests.unit.fakes import FakeWebhookSender, SentWebhook
from tests.unit.outbound.sites import Request, Site
from tests.unit.service.conftest import ServiceFixture

SECONDS = 30
HOUR = 3600.0


@pytest.fixture
def site() -> "Site":  # type: ignore[misc]
    site = Site()
    yield site
    site.close()


def end_job(fixture: ServiceFixture, job_id: str, url: str, tenant: str = "") -> Job:
    """A job that has ended, whose webhook is due."""
    job = Job(job_id, Options(), webhook=Webhook(url), tenant=tenant, created_at=fixture.clock())
    return fixture.jobs.create(ended(job, "completed", fixture.clock()))


def hook(fixture: ServiceFixture, job_id: str) -> Webhook:
    found = fixture.jobs.get(job_id).webhook
    assert found is not None
    return found


class HeldSender(FakeWebhookSender):
    """A sender whose attempts wait until the test lets them end."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.started = threading.Semaphore(0), threading.Semaphore(0)

    def send(
        self, url: str, body: bytes, *, message_id: str, timestamp: int, secret: str | None
    ) -> Delivery:
        self.started.release()
        assert self.gate.acquire(timeout=SECONDS)
        self.sent.append(SentWebhook(url, body, message_id))
        return Delivery("retry", None, "")


def dispatcher(context: ServiceContext, sender: FakeWebhookSender) -> WebhookDispatcher:
    return WebhookDispatcher(context, sender, lambda _: None, next_attempt)


def tick(fixture: ServiceFixture, maintenance: Maintenance, seconds: float = 2) -> None:
    fixture.clock.at += seconds
    maintenance.run_once()
    maintenance.wait()


def test_attempts_are_counted_when_they_are_made(fixture: ServiceFixture) -> None:
    sender = HeldSender()
    webhooks = dispatcher(fixture.context, sender)
    maintenance = Maintenance(fixture.context, "test", webhooks)
    ids = [end_job(fixture, f"j{number:03}", "http://127.0.0.1/").id for number in range(100)]
    for _ in range(300):  # ten minutes; all that long nobody answers the two attempts in progress
        tick(fixture, maintenance)
    for _ in range(2):
        assert sender.started.acquire(timeout=SECONDS)
    assert sum(hook(fixture, each).attempts for each in ids) == 2
    assert len(webhooks.jobs()) <= 52
    sender.gate.release(1000)
    webhooks.wait()
    recorded = sum(hook(fixture, each).attempts for each in ids)
    assert recorded == len(sender.sent)


def test_each_attempt_of_the_budget_is_made(fixture: ServiceFixture) -> None:
    fixture.sender.outcomes = ["retry"] * 1000
    webhooks = dispatcher(fixture.context, fixture.sender)
    maintenance = Maintenance(fixture.context, "test", webhooks)
    ids = [end_job(fixture, f"j{number:03}", "http://127.0.0.1/").id for number in range(70)]
    for _ in range(90):
        tick(fixture, maintenance, HOUR)
        webhooks.wait()
    sends = Counter(sent.message_id for sent in fixture.sender.sent)
    assert {sends[f"{each}-1"] for each in ids} == {10}
    assert {hook(fixture, each).outcome for each in ids} == {"undeliverable"}


def silent(request: Request) -> None:
    request.site.closing.wait(SECONDS)


def test_a_silent_receiver_of_one_tenant_delays_no_other_tenant(
    fixture: ServiceFixture, site: Site
) -> None:
    arrived = threading.Event()
    site.answers["/silent"] = silent
    site.answers["/bob"] = lambda request: (request.send(b""), arrived.set())  # type: ignore[assignment, func-returns-value]
    sender = WebhookSender(["127.0.0.1"], timeout_seconds=SECONDS)
    webhooks = dispatcher(fixture.context, sender)  # type: ignore[arg-type]
    maintenance = Maintenance(fixture.context, "test", webhooks)
    for number in range(150):
        end_job(fixture, f"a{number:03}", site.url("/silent"), "alice")
    tick(fixture, maintenance)
    end_job(fixture, "b", site.url("/bob"), "bob")
    tick(fixture, maintenance)
    assert arrived.wait(SECONDS / 2)
    assert sum(seen.path == "/silent" for seen in site.seen) <= 2
    site.closing.set()
    webhooks.close()


def test_a_silent_receiver_does_not_hold_the_others_of_its_tenant(
    fixture: ServiceFixture, site: Site
) -> None:
    site.answers["/silent"] = silent
    site.answers["/good"] = lambda request: request.send(b"")
    sender = WebhookSender(["127.0.0.1", "localhost"], timeout_seconds=0.3)
    webhooks = dispatcher(fixture.context, sender)  # type: ignore[arg-type]
    maintenance = Maintenance(fixture.context, "test", webhooks)
    for number in range(40):
        end_job(fixture, f"a{number:03}", site.url("/silent"), "alice")
    end_job(fixture, "good", site.url("/good", host="localhost"), "alice")
    tick(fixture, maintenance)
    webhooks.wait()
    assert hook(fixture, "good").outcome == "delivered"
    made = sum(seen.path == "/silent" for seen in site.seen)
    assert made == 2
    assert sum(hook(fixture, f"a{number:03}").attempts for number in range(40)) == made


def test_a_slow_receiver_gets_one_attempt_after_each_pause() -> None:
    slow, receiver, now = SlowReceivers(), ("alice", "a.example"), 1000.0
    pauses = []
    for _ in range(7):
        assert slow.begin(receiver, now) == now
        slow.end(receiver, now, slow=True)
        pauses.append(slow.try_at(receiver, now) - now)
        now = slow.try_at(receiver, now)
    assert pauses == [10, 20, 40, 80, 160, 300, 300]
    assert slow.begin(receiver, now) == now
    assert slow.begin(receiver, now) > now
    assert slow.begin(("bob", "a.example"), now) == now
    slow.end(receiver, now, slow=False)
    assert slow.begin(receiver, now) == slow.begin(receiver, now) == now


def test_slow_receivers_are_forgotten() -> None:
    slow = SlowReceivers()
    for number in range(1000):
        slow.end(("eve", f"h{number}.example"), 1000.0 * number, slow=True)
    assert len(slow._pauses) < 5


def test_postponed_webhooks_cause_fewer_writes_as_they_age(fixture: ServiceFixture) -> None:
    sender = HeldSender()
    webhooks = dispatcher(fixture.context, sender)
    maintenance = Maintenance(fixture.context, "test", webhooks)
    for number in range(52):  # the queue is full from now on
        end_job(fixture, f"a{number:03}", "http://127.0.0.1/")
    tick(fixture, maintenance)
    end_job(fixture, "last", "http://127.0.0.1/")
    for _ in range(720):  # twelve hours
        tick(fixture, maintenance, 60)
    found = fixture.jobs.get("last")
    assert hook(fixture, "last").attempts == 0
    assert found.version < 50
    sender.gate.release(1000)
    webhooks.wait()


def test_a_webhook_that_cannot_be_attempted_for_a_week_is_given_up(
    fixture: ServiceFixture,
) -> None:
    sender = HeldSender()
    webhooks = dispatcher(fixture.context, sender)
    maintenance = Maintenance(fixture.context, "test", webhooks)
    for number in range(53):
        end_job(fixture, f"a{number:03}", "http://127.0.0.1/")
    tick(fixture, maintenance)
    for _ in range(3):
        tick(fixture, maintenance, GIVE_UP_SECONDS)
    assert hook(fixture, "a052").outcome == "undeliverable"
    sender.gate.release(1000)
    webhooks.wait()


def test_events_name_their_tenant_and_are_signed_for_it(fixture: ServiceFixture) -> None:
    used = []

    class Sender(FakeWebhookSender):
        def send(
            self, url: str, body: bytes, *, message_id: str, timestamp: int, secret: str | None
        ) -> Delivery:
            used.append((json.loads(body)["data"]["tenant"], secret))
            return Delivery("delivered", None, "")

    secret_of: Callable[[str], str] = "secret of {}".format
    webhooks = WebhookDispatcher(fixture.context, Sender(), secret_of, next_attempt)
    for tenant in ("", "alice", "bob"):
        webhooks.notify(end_job(fixture, f"of-{tenant}", "http://127.0.0.1/", tenant))
    webhooks.wait()
    assert sorted(used) == [(tenant, f"secret of {tenant}") for tenant in ("", "alice", "bob")]


def test_an_event_has_no_name_and_no_speech(fixture: ServiceFixture) -> None:
    job = replace(end_job(fixture, "j", "http://127.0.0.1/", "acme"), name="standup.ogg")
    assert set(json.loads(event(job))["data"]) == {"job_id", "tenant", "status", "run"}


def test_tenants_have_different_secrets() -> None:
    master = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert tenant_secret(master, "") == master
    assert len({tenant_secret(master, tenant) for tenant in ("", "alice", "bob")}) == 3
