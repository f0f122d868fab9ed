"""Delivers the webhooks of ended jobs; every attempt is recorded before it is made."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from random import Random
from urllib.parse import urlsplit

from meet_transcriber.core.errors import JobError, TranscriptionError
from meet_transcriber.core.jobs import Job, Webhook
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.outbound import Delivery, WebhookSender
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.job_executor import JobExecutor

log = get_logger(__name__)

_ATTEMPT_SECONDS = 60.0  # an attempt without a recorded outcome is repeated after this
_THREADS, _SHARE = 8, 2
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 10.0, 300.0
_SHORTEST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 5.0, 6 * 3600.0
_DELAY_SHARE = 0.25
GIVE_UP_SECONDS = 7 * 24 * 3600.0
"""How long after its job's end a webhook is attempted, whatever became of its attempts."""

NextAttempt = Callable[[int, float, Random, float | None], float | None]
"""From attempts made, now, randomness and Retry-After to the next attempt; None for never."""

SecretOf = Callable[[str], str | None]
"""From a tenant to the secret that signs its webhooks; None sends them without a signature."""


@dataclass
class _Pause:
    until: float
    seconds: float


class SlowReceivers:
    """
    Hosts that did not answer in time, each as one tenant named it; safe for several threads.

    Such a host gets a pause, and then one attempt at a time until it answers: otherwise it would
    hold all threads of its tenant. Another tenant's attempts are not affected, because only an
    address of the first one may be slow.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pauses: dict[tuple[str, str], _Pause] = {}

    def try_at(self, receiver: tuple[str, str], now: float) -> float:
        """When an attempt may begin; `now` if at once."""
        with self._lock:
            pause = self._pauses.get(receiver)
            return now if pause is None else max(now, pause.until)

    def begin(self, receiver: tuple[str, str], now: float) -> float:
        """As `try_at`; where an attempt may begin it does, and others wait for its end."""
        with self._lock:
            pause = self._pauses.get(receiver)
            if pause is None:
                return now
            if pause.until <= now:
                pause.until = now + _ATTEMPT_SECONDS
                return now
            return pause.until

    def end(self, receiver: tuple[str, str], now: float, *, slow: bool) -> None:
        """An attempt has ended; `slow` if there was no answer in time."""
        with self._lock:
            pause = self._pauses.pop(receiver, None)
            if slow:
                seconds = min(2 * pause.seconds, _LONGEST_PAUSE_SECONDS) if pause else None
                seconds = seconds or _PAUSE_SECONDS
                self._pauses[receiver] = _Pause(now + seconds, seconds)
            over = now - 2 * _LONGEST_PAUSE_SECONDS
            for key in [key for key, each in self._pauses.items() if each.until < over]:
                del self._pauses[key]


class WebhookDispatcher:
    """
    Delivers from threads that tenants share fairly, so slow receivers delay neither maintenance
    nor other tenants.

    An attempt that cannot begin, because its tenant's queue is full or its receiver is slow, is
    due again later in the store, and does not count.
    """

    def __init__(
        self,
        context: ServiceContext,
        sender: WebhookSender,
        secret_of: SecretOf,
        schedule: NextAttempt,
    ) -> None:
        self._context = context
        self._sender = sender
        self._secret_of = secret_of
        self._schedule = schedule
        self._random = Random()  # noqa: S311 - only spreads attempts
        self._slow = SlowReceivers()
        self._attempts = JobExecutor(_THREADS, "webhook", _SHARE)

    def notify(self, job: Job) -> None:
        """Make an attempt in a thread, if one is due; not safe for several threads."""
        now = self._context.clock()
        if job.webhook is None or not _is_due(job.webhook, now):
            return
        # A receiver that was slow lately must not take the tenant's threads from its others.
        try_at = self._slow.try_at(_receiver(job.tenant, job.webhook), now)
        call = partial(self._run, job.id)
        if try_at > now or not self._attempts.submit(job.tenant, job.id, call):
            self._postpone(job.id, try_at)

    def jobs(self) -> set[str]:
        """Ids of the jobs whose attempts wait or are being made."""
        return self._attempts.jobs()

    def wait(self) -> None:
        """Wait for the attempts in progress."""
        self._attempts.wait()

    def close(self) -> None:
        """Make no more attempts; one in progress may end."""
        self._attempts.close()

    def _run(self, job_id: str) -> None:
        try:
            with suppress(JobError):  # the job was deleted meanwhile
                self._attempt(job_id)
        except TranscriptionError as error:  # the attempt is repeated with the same id
            log.warning("webhook_delayed", job_id=job_id, error=str(error))
        except Exception:  # the outermost frame of this call, whose executor would keep it
            log.exception("webhook_crashed", job_id=job_id)

    def _attempt(self, job_id: str) -> None:
        """Record an attempt and make it; nothing, if none is due by now."""
        job, now = self._context.jobs.get(job_id), self._context.clock()
        if job.webhook is None or not _is_due(job.webhook, now):
            return
        receiver = _receiver(job.tenant, job.webhook)
        if (try_at := self._slow.begin(receiver, now)) > now:
            self._postpone(job_id, try_at)
            return
        slow = False
        try:
            before, job = self._context.jobs.update(job_id, partial(_attempted, now=now))
            if job is not before and job.webhook is not None:
                slow = self._deliver(job, job.webhook)
        finally:
            self._slow.end(receiver, self._context.clock(), slow=slow)

    def _deliver(self, job: Job, hook: Webhook) -> bool:
        """Make an attempt and record its outcome; returns whether the receiver was slow."""
        delivery = self._sender.send(
            hook.url,
            event(job),
            message_id=hook.event_id,
            timestamp=round(self._context.clock()),
            secret=self._secret_of(job.tenant),
        )
        self._context.meters.webhook(delivery.outcome)
        log.info("webhook_attempted", job_id=job.id, outcome=delivery.outcome)
        with suppress(TranscriptionError):  # else the attempt is repeated with the same id
            self._context.jobs.update(
                job.id, lambda current: self._recorded(current, hook, delivery)
            )
        return delivery.slow

    def _recorded(self, job: Job, made: Webhook, delivery: Delivery) -> Job:
        hook = job.webhook
        # The record may have changed while the receiver took its time.
        if hook is None or hook.event_id != made.event_id:
            return job  # a rerun has begun meanwhile
        if delivery.outcome != "retry":
            return replace(job, webhook=replace(hook, outcome=delivery.outcome, next_at=None))
        now, wanted = self._context.clock(), delivery.retry_after
        next_at = self._schedule(hook.attempts, now, self._random, wanted)
        outcome = "waiting" if next_at else "undeliverable"
        return replace(job, webhook=replace(hook, outcome=outcome, next_at=next_at))

    def _postpone(self, job_id: str, until: float) -> None:
        spread = self._random.uniform(1.0, 1.2)
        change = partial(_postponed, now=self._context.clock(), until=until, spread=spread)
        with suppress(JobError):
            self._context.jobs.update(job_id, change)


def _is_due(hook: Webhook, now: float) -> bool:
    return hook.next_at is not None and hook.next_at <= now


def _receiver(tenant: str, hook: Webhook) -> tuple[str, str]:
    try:
        return tenant, urlsplit(hook.url).hostname or ""
    except ValueError:  # the sender refuses it
        return tenant, hook.url


def _attempted(job: Job, now: float) -> Job:
    hook = job.webhook
    if hook is None or not _is_due(hook, now):
        return job
    # Due again if this process dies meanwhile: an attempt may be made twice, but none is lost.
    later = now + _ATTEMPT_SECONDS
    return replace(job, webhook=replace(hook, attempts=hook.attempts + 1, next_at=later))


def _postponed(job: Job, now: float, until: float, spread: float) -> Job:
    """
    The attempt is due at `until`, or later if the job ended long ago.

    The delay grows with the age of the webhook, so that a tenant whose webhooks pile up does not
    cause a write for each of them every few seconds.
    """
    hook = job.webhook
    if hook is None or not _is_due(hook, now):
        return job
    age = now - (job.finished_at or now)
    if age > GIVE_UP_SECONDS:
        return replace(job, webhook=replace(hook, outcome="undeliverable", next_at=None))
    delay = max(_SHORTEST_DELAY_SECONDS, min(_DELAY_SHARE * age, _LONGEST_DELAY_SECONDS))
    next_at = now + spread * max(delay, until - now)
    return replace(job, webhook=replace(hook, next_at=next_at))


def event(job: Job) -> bytes:
    """The webhook's body: tenant, ids and states, never speech."""
    moment = datetime.fromtimestamp(job.finished_at or 0.0, UTC)
    data: dict[str, object] = {
        "job_id": job.id,
        "tenant": job.tenant,
        "status": job.state,
        "run": job.run,
    }
    if job.error is not None:
        data["error"] = {"code": job.error.code, "message": job.error.message}
    body = {
        "type": f"job.{job.state}",
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": data,
    }
    return json.dumps(body).encode()
