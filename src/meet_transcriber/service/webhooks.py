"""Delivers the webhooks of ended jobs; every attempt is recorded before it is made."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from random import Random

from meet_transcriber.core.errors import JobError, TranscriptionError
from meet_transcriber.core.jobs import Job, Webhook
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.outbound import Delivery, WebhookSender
from meet_transcriber.service.context import ServiceContext

log = get_logger(__name__)

_ATTEMPT_SECONDS = 60.0  # an attempt without a recorded outcome is repeated after this
_THREADS = 4

NextAttempt = Callable[[int, float, Random, float | None], float | None]
"""From attempts made, now, randomness and Retry-After to the next attempt; None for never."""


class WebhookDispatcher:
    """Delivers from a thread pool, so that slow receivers do not block maintenance."""

    def __init__(
        self,
        context: ServiceContext,
        sender: WebhookSender,
        secret: str | None,
        schedule: NextAttempt,
    ) -> None:
        self._context = context
        self._sender = sender
        self._secret = secret
        self._schedule = schedule
        self._random = Random()  # noqa: S311 - only spreads attempts
        self._threads = ThreadPoolExecutor(_THREADS, "webhook")
        self._attempts: set[Future[None]] = set()

    def notify(self, job: Job) -> None:
        """Record an attempt, if one is due, and make it in a thread."""
        now = self._context.clock()
        with suppress(JobError):
            before, taken = self._context.jobs.update(job.id, partial(_attempted, now=now))
            if taken.webhook != before.webhook:
                self._attempts = {each for each in self._attempts if not each.done()}
                self._attempts.add(self._threads.submit(self._run, taken))

    def wait(self) -> None:
        """Wait for the attempts in progress."""
        wait(self._attempts)

    def _run(self, job: Job) -> None:
        try:
            self._deliver(job)
        except Exception:  # the outermost frame of this thread, which would keep it to itself
            log.exception("webhook_crashed", job_id=job.id)

    def _deliver(self, job: Job) -> None:
        if job.webhook is None:
            return
        delivery = self._sender.send(
            job.webhook.url,
            event(job),
            message_id=job.webhook.event_id,
            timestamp=round(self._context.clock()),
            secret=self._secret,
        )
        self._context.meters.webhook(delivery.outcome)
        log.info("webhook_attempted", job_id=job.id, outcome=delivery.outcome)
        with suppress(TranscriptionError):  # else the attempt is repeated with the same id
            self._context.jobs.update(
                job.id, lambda current: self._recorded(current, job.webhook, delivery)
            )

    def _recorded(self, job: Job, made: Webhook | None, delivery: Delivery) -> Job:
        hook = job.webhook
        if hook is None or made is None or hook.event_id != made.event_id:
            return job  # a rerun has begun meanwhile
        if delivery.outcome != "retry":
            return replace(job, webhook=replace(hook, outcome=delivery.outcome, next_at=None))
        now, wanted = self._context.clock(), delivery.retry_after
        next_at = self._schedule(hook.attempts, now, self._random, wanted)
        outcome = "waiting" if next_at else "undeliverable"
        return replace(job, webhook=replace(hook, outcome=outcome, next_at=next_at))


def _attempted(job: Job, now: float) -> Job:
    hook = job.webhook
    if hook is None or hook.next_at is None or hook.next_at > now:
        return job
    later = now + _ATTEMPT_SECONDS
    return replace(job, webhook=replace(hook, attempts=hook.attempts + 1, next_at=later))


def event(job: Job) -> bytes:
    """The webhook's body: ids and states, never speech."""
    moment = datetime.fromtimestamp(job.finished_at or 0.0, UTC)
    data: dict[str, object] = {"job_id": job.id, "status": job.state, "run": job.run}
    if job.error is not None:
        data["error"] = {"code": job.error.code, "message": job.error.message}
    body = {
        "type": f"job.{job.state}",
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": data,
    }
    return json.dumps(body).encode()
