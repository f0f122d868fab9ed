"""
What has to be done about jobs without anybody asking: lost leases, webhooks, rubbish, age.

Every worker and every API process runs a `Tending` on a timer. A lock in the store sees to it
that one of them works at a time, so no beat process is needed.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

from meet_transcriber.core.errors import JobError, StorageUnavailable, TranscriptionError
from meet_transcriber.core.jobs import QUEUES, Job
from meet_transcriber.core.transitions import deleted, expired
from meet_transcriber.core.voices import KNOWN_SPEAKERS
from meet_transcriber.logs import get_logger
from meet_transcriber.ports.stores import Clock
from meet_transcriber.service.ground import Ground, Rules
from meet_transcriber.service.posting import Postman
from meet_transcriber.service.recordings import pieces_of
from meet_transcriber.service.steps import Steps

log = get_logger(__name__)

_LOCK_SECONDS = 10.0
_BATCH = 100
AUDIO = ("recording", "working.flac", KNOWN_SPEAKERS)
_HALF_WRITTEN_SECONDS = 3600.0


class Tending:
    """Looks after what is due."""

    def __init__(
        self, ground: Ground, holder: str, postman: Postman, steady: Clock | None = None
    ) -> None:
        """
        Args:
            steady: seconds that no one can set; None where the ground's clock is such a one.
        """
        self._ground = ground
        self._steps = Steps(ground.clock, steady or ground.clock, ground.rules.lease_seconds)
        self._holder = holder
        self._postman = postman
        self._tidied = 0.0

    def tend(self) -> bool:
        """
        Do everything that is due, unless somebody else is at it; returns whether it was us.

        Raises:
            StorageUnavailable: the store does not answer; try again at the next turn.
        """
        now = self._ground.clock()
        holding = self._ground.jobs.lock("tending", self._holder, _LOCK_SECONDS, now)
        self._steps.look()
        if not holding:
            return False
        if self._steps.settled:
            self._tend_due(now)
        self._top_up()
        self._tidy(now)
        return True

    def settle(self) -> None:
        """Wait for webhooks that are on their way."""
        self._postman.settle()

    def bury(self, workers: Collection[str]) -> None:
        """These workers are known to be dead: what they held may be claimed at once."""
        self._release(lambda job: expired(job, self._ground.clock(), dead=workers))

    def _release(self, change: Callable[[Job], Job]) -> None:
        for job_id in self._ground.jobs.due(float("inf"), _BATCH):
            with suppress(JobError):
                self._lapsed(job_id, change)

    def _tend_due(self, now: float) -> None:
        if self._steps.went_back:  # leases of the dead would hold until the old time comes again
            latest = now + self._ground.rules.lease_seconds
            self._release(lambda job: expired(job, now, latest=latest))
            self._steps.went_back = False
        for job_id in self._ground.jobs.due(now, _BATCH):
            try:
                self._tend_job(job_id)
            except JobError:
                continue
            except StorageUnavailable:
                raise
            except TranscriptionError as error:
                log.warning("tending_failed", job_id=job_id, error=str(error))

    def _tend_job(self, job_id: str) -> None:
        now = self._ground.clock()
        old = now - self._steps.ahead
        job = self._lapsed(job_id, lambda job: _aged(expired(job, now), now, old))
        if job.tidy_at is not None and job.tidy_at <= now:
            (self._remove if job.deleted else self._sweep)(job, now)
        if job.webhook and job.webhook.next_at is not None and job.webhook.next_at <= now:
            self._postman.notify(job)

    def _lapsed(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        """Change a record, and tell which tasks lost their holder by it."""
        held: dict[str, str] = {}

        def noting(job: Job) -> Job:
            held.clear()
            held.update((task.name, task.worker) for task in job.in_state("running"))
            return change(job)

        job = self._ground.change(job_id, noting)
        if job.state != "cancelled" and not job.deleted:
            for task in job.tasks:
                if task.name in held and task.state != "running":
                    self._ground.meters.lease_expired(task.kind)
                    log.warning(
                        "lease_expired", job_id=job.id, task=task.name, worker=held[task.name]
                    )
        return job

    # -- rubbish ---------------------------------------------------------------------------

    def _remove(self, job: Job, now: float) -> None:
        """Objects first: as long as the record stands, somebody comes back for them."""
        self._ground.media.delete(job.prefix)
        if self._ground.text is not None:
            self._ground.text.put_text(job.id, "")
        if now < (calm := self._calm_at(job)):
            self._ground.jobs.update(job.id, partial(replace, tidy_at=calm))
        else:
            self._ground.jobs.remove(job.id)

    def _sweep(self, job: Job, now: float) -> None:
        """Remove what the tasks of an ended job left and its record does not name."""
        job = self._ground.jobs.update(job.id, partial(_settled, rules=self._ground.rules))
        if not job.ended or job.deleted:
            return
        named = set(job.objects.values())
        named |= {
            piece.key for piece in pieces_of(self._ground.media, job.objects.get("recording"))
        }
        edits = f"{job.prefix}/edits.json."  # is written before the record names it
        found = self._ground.media.keys(job.prefix)
        if self._ground.jobs.version(job.id) != job.version:
            return  # what was found may count by now; there is another turn
        for key in found:
            if key not in named and not key.startswith(edits):
                self._ground.media.delete(key)
        calm = self._calm_at(job)
        again = calm if now < calm else None
        self._ground.jobs.update(job.id, partial(_swept, version=job.version, again=again))

    def _calm_at(self, job: Job) -> float:
        """When whoever still works on an ended job, or may write for it, has noticed or may not."""
        held = [task.lease_until for task in job.tasks if task.state == "running"]
        noticed = max(held, default=0.0) + self._ground.rules.lease_seconds if held else 0.0
        return max(noticed, job.upload.signed_until if job.upload else 0.0)

    def _tidy(self, now: float) -> None:
        if now - self._tidied > _HALF_WRITTEN_SECONDS / 6:
            self._tidied = now
            self._ground.media.tidy(_HALF_WRITTEN_SECONDS)

    # -- messages --------------------------------------------------------------------------

    def _top_up(self) -> None:
        """As many messages as there are ready tasks: what was lost on the way is said again."""
        ready = self._ground.jobs.backlog().ready
        for queue in QUEUES:
            missing = ready.get(queue, 0) and ready[queue] - self._ground.queue.length(queue)
            if missing > 0:
                jobs = self._ground.jobs.ready([queue], missing)
                for job_id in islice(cycle(jobs), min(missing, _BATCH)):
                    self._ground.nudge(queue, job_id, "")


def _aged(job: Job, now: float, result_now: float) -> Job:
    """An upload whose sender is gone, or a result past its time, is deleted."""
    abandoned = job.state == "uploading" and job.lease_until <= now
    old = job.ended and job.expires_at is not None and job.expires_at <= result_now
    return deleted(job, now) if abandoned or old else job


def _settled(job: Job, rules: Rules) -> Job:
    """An ended job as the operator's rules want it: whether its audio stays, and how long."""
    if not job.ended or job.deleted:
        return job
    if job.state == "completed" and not rules.keep_audio:
        kept = {name: key for name, key in job.objects.items() if name not in AUDIO}
        job = replace(job, objects=kept)
    ttl, spared = rules.result_ttl_seconds, job.edited and not rules.expire_edited
    expires_at = None if ttl is None or spared else (job.finished_at or 0.0) + ttl
    return replace(job, expires_at=expires_at)


def _swept(job: Job, version: int, again: float | None) -> Job:
    """Clean, unless the record changed meanwhile: then there is another turn."""
    return replace(job, tidy_at=again) if job.version == version else job
