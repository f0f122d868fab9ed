"""Claims tasks and runs them: one worker's side of the service."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from meet_transcriber.core.errors import (
    AddressRefused,
    EngineUnavailable,
    InvalidAudio,
    InvalidOptions,
    JobCancelled,
    JobError,
    JobNotFound,
    LeaseLost,
    QuotaExceeded,
    StorageError,
    StorageFull,
    StorageUnavailable,
    TranscriptionError,
)
from meet_transcriber.core.jobs import (
    CPU_QUEUE,
    FETCH_QUEUE,
    RECOGNIZE_QUEUE,
    Failure,
    Job,
    waited_seconds,
)
from meet_transcriber.core.transcript import Diarization
from meet_transcriber.core.transitions import (
    Claim,
    alive,
    claim_in,
    claimed,
    committed,
    concluded,
    delayed,
    fetched,
    held,
    planned,
    released,
    task_failed,
)
from meet_transcriber.observability.logging import bound, get_logger
from meet_transcriber.pipeline import Chosen, Pipeline
from meet_transcriber.ports.engines import Diarizer, Recognizer, SpeechDetector
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.quotas import Quotas
from meet_transcriber.service.speaker_identification import SpeakerIdentification
from meet_transcriber.service.uploads import delete_recording, open_recording

log = get_logger(__name__)

_BEAT_SECONDS = 0.5  # also how often cancellation is checked
_REPORTED_SHARE = 0.01  # progress that is written before the lease is due


class WorkerStopping(TranscriptionError):
    """The worker is stopping; the task is given back."""

    code = "worker_stopping"


class TaskHeartbeat:
    """
    The progress callback of a claimed task, and the heartbeat of its lease.

    A thread renews the lease and checks whether the job was cancelled. The next call of the
    callback then raises JobCancelled, LeaseLost or WorkerStopping in the work.
    """

    def __init__(self, context: ServiceContext, claim: Claim, stopping: threading.Event) -> None:
        self._context = context
        self._claim = claim
        self._stopping = stopping
        self._share = 0.0
        self._reported = 0.0
        self._renewed = context.clock()
        self._problem: JobError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __call__(self, share: float, /) -> None:
        self._share = max(self._share, min(share, 1.0))
        if self._problem is not None:
            raise self._problem
        if self._stopping.is_set():
            raise WorkerStopping("The worker is stopping.")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while self._problem is None and not self._ended.wait(_BEAT_SECONDS):
            try:
                self._renew_or_check()
            except JobError as error:
                self._problem = error
            except TranscriptionError as error:
                log.warning("heartbeat_delayed", job_id=self._claim.job.id, error=str(error))
            except Exception:  # the outermost frame of this thread: the next beat may succeed
                log.exception("heartbeat_failed", job_id=self._claim.job.id)

    def _renew_or_check(self) -> None:
        now, lease = self._context.clock(), self._context.policy.lease_seconds
        name, token, share = self._claim.task.name, self._claim.task.token, self._share
        # Each report is a write to the store; a beat without one only looks whether to go on. The
        # difference may be negative where the clock was set back.
        if share > self._reported + _REPORTED_SHARE or abs(now - self._renewed) > lease / 3:
            change = partial(alive, name=name, token=token, progress=share, now=now, lease=lease)
            self._context.jobs.update(self._claim.job.id, change)
            self._reported, self._renewed = share, now
        else:
            held(self._context.jobs.get(self._claim.job.id), name, token)


Learn = Callable[[Job], Job]
"""Adds to the record what a task's result says about the job."""

_FINAL = (AddressRefused, InvalidAudio, InvalidOptions, EngineUnavailable, QuotaExceeded)
"""Errors that another attempt would repeat."""
_CANDIDATES = 16  # other workers may claim the first ones meanwhile
_COMMIT_PATIENCE_SECONDS = 0.5
_SPACE_PATIENCE_SECONDS = 3600.0
"""How long a job waits for free space before it fails."""
_TRANSIENT = (StorageFull, StorageUnavailable)
_TRANSIENT_SECONDS = 5.0
_FETCH_POLL_SECONDS = 0.1

FETCHES = 4
"""Fetches that run at once in a worker, beside its other work."""

TENANT_FETCHES = 2
"""How many of these may be of one tenant."""


@dataclass(frozen=True)
class Engines:
    """Factories of a worker's engines, which build each engine once.

    They may raise EngineUnavailable, with the command that fixes it.
    """

    recognizer: Callable[[], Chosen[Recognizer]]
    diarizer: Callable[[], Chosen[Diarizer] | None]
    detector: Callable[[], SpeechDetector]


@dataclass
class ClaimedCheckpoints:
    """
    Checkpoints of a claimed task: finds committed objects, and collects the keys of new ones.

    Keys end with the fencing token, so a worker that lost its lease overwrites nothing.
    """

    claim: Claim
    written: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        return self.written.get(name) or self.claim.job.objects.get(name)

    def new(self, name: str) -> str:
        self.written[name] = f"{self.claim.job.prefix}/{name}.{self.claim.task.token}"
        return self.written[name]


class FetchSlots:
    """Which tenants' fetches run in this process; safe for several threads."""

    def __init__(self, most: int = FETCHES, share: int = TENANT_FETCHES) -> None:
        self._most, self._share = most, share
        self._running = Counter[str]()
        self._changed = threading.Condition()

    @property
    def running(self) -> int:
        """Number of fetches that run."""
        return self._running.total()

    @property
    def free(self) -> bool:
        """Whether another fetch may begin."""
        return self.running < self._most

    def allows(self, tenant: str) -> bool:
        """Whether another fetch of this tenant may begin."""
        return self.free and self._running[tenant] < self._share

    def take(self, tenant: str) -> None:
        """A fetch of this tenant begins."""
        with self._changed:
            self._running[tenant] += 1

    def give_back(self, tenant: str) -> None:
        """A fetch of this tenant has ended."""
        with self._changed:
            self._running[tenant] -= 1
            if not self._running[tenant]:
                del self._running[tenant]
            self._changed.notify_all()

    def wait(self, fewer_than: int, seconds: float) -> bool:
        """Wait so long until fewer than so many fetches run; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self.running < fewer_than, seconds)


class TaskRunner:
    """
    Runs the tasks of one worker; not safe for several threads.

    The servers of recordings decide how long fetches take, so these run in threads of their own,
    a few at a time and at most half of them of one tenant.
    """

    def __init__(
        self,
        context: ServiceContext,
        engines: Engines,
        worker: str,
        queues: tuple[str, ...],
        stopping: threading.Event,
        report: Callable[[str], None] = lambda _task: None,
    ) -> None:
        """
        Args:
            stopping: when set, the current task is given back at its next progress.
            report: called with the name of the current task, and "" after it.
        """
        self._context = context
        self._engines = engines
        self._worker = worker
        self._queues = queues
        self._stopping = stopping
        self._report = report
        self._held: dict[tuple[str, int], Claim] = {}  # by job and token
        self._fetches = FetchSlots()

    def set_engines(self, engines: Engines) -> None:
        """Use these engines from the next task on."""
        self._engines = engines

    def work(self) -> bool:
        """
        Start fetches, and claim and run the next other task; False if there is nothing to do.

        Raises:
            StorageFull, StorageUnavailable: a store is full or does not respond; nothing is lost,
                try again later.
        """
        started, fetching = self._start_fetches(), self._fetches.running
        claim = self._claim(self._queues)
        if claim is None:
            if fetching and not started:  # they make more to do when they end
                self._fetches.wait(fetching, _FETCH_POLL_SECONDS)
            return started or fetching > 0
        self._report(claim.task.name)
        try:
            self._run_observed(claim)
        finally:
            self._report("")
        return True

    def has_ready(self) -> bool:
        """Whether a task is ready for this worker; fetches count only while it runs none."""
        fetches = CPU_QUEUE in self._queues and not self._fetches.running
        queues = (*self._queues, FETCH_QUEUE) if fetches else self._queues
        return bool(self._context.jobs.ready(queues, 1))

    def wait_for_fetches(self, seconds: float) -> bool:
        """Wait until no fetch runs; returns whether that is so."""
        return self._fetches.wait(1, seconds)

    def _start_fetches(self) -> bool:
        """Claim fetches and run each in a thread, as far as there is room for their tenants."""
        started = False
        while CPU_QUEUE in self._queues and self._fetches.free:
            claim = self._claim((FETCH_QUEUE,))
            if claim is None:
                break
            started = True
            self._fetches.take(claim.job.tenant)
            threading.Thread(
                target=self._run_fetch, args=(claim,), name="fetch", daemon=True
            ).start()
        return started

    def _run_fetch(self, claim: Claim) -> None:
        try:
            self._run_observed(claim)
        except _TRANSIENT as error:
            log.warning("fetch_delayed", job_id=claim.job.id, error=str(error))
            self._stopping.wait(_TRANSIENT_SECONDS)  # the task is ready again
        finally:
            self._fetches.give_back(claim.job.tenant)

    def _run_observed(self, claim: Claim) -> None:
        """Run a claimed task within a span, with its logs and metrics."""
        job, task = claim.job, claim.task
        ids = {"job_id": job.id, "request_id": job.origin.request_id, "task": task.name}
        started, outcome = time.monotonic(), "interrupted"
        # Only the first claim of a job says how long it waited for a worker.
        if job.fence == 1 and (waited := waited_seconds(job)) is not None:
            self._context.meters.waited(task.queue, waited)
        tracer = self._context.tracer
        span = tracer.span(task.kind, job.origin.traceparent, ids) if tracer else nullcontext()
        with bound(**{name: value for name, value in ids.items() if value}), span:
            self._held[job.id, task.token] = claim
            try:
                outcome = self._run(claim)
            finally:
                del self._held[job.id, task.token]
                seconds = time.monotonic() - started
                self._context.meters.task(task.kind, outcome, seconds)
                log.info("task_ended", outcome=outcome, seconds=round(seconds, 3))

    def release(self) -> None:
        """
        Give the current tasks back at once; work that continues on them has no effect.

        For another thread that ends the process, because an engine does not react to `stopping`.
        """
        for claim in tuple(self._held.values()):
            self._record(claim, released)

    def _claim(self, queues: tuple[str, ...]) -> Claim | None:
        context = self._context
        for job_id in context.jobs.ready(queues, _CANDIDATES):
            with suppress(JobNotFound):
                before, job = context.jobs.update(job_id, partial(self._claimed, queues=queues))
                # The fence only counts up when a task is claimed; else another worker was faster.
                if job.fence != before.fence:
                    return claim_in(job, self._worker)
        return None

    def _claimed(self, job: Job, queues: tuple[str, ...]) -> Job:
        if FETCH_QUEUE in queues and not self._fetches.allows(job.tenant):
            return job
        now, lease = self._context.clock(), self._context.policy.lease_seconds
        return claimed(job, queues, self._worker, now, lease)

    def _run(self, claim: Claim) -> str:
        """Run a claimed task until its outcome is recorded; returns the outcome."""
        checkpoints = ClaimedCheckpoints(claim)
        try:
            with TaskHeartbeat(self._context, claim, self._stopping) as heartbeat:
                learn = self._do(claim, checkpoints, heartbeat)
                self._commit(claim, checkpoints, learn)
            self._drop_recording(claim)
        except (JobCancelled, JobNotFound, LeaseLost) as error:
            self._discard_outputs(claim, checkpoints)
            return error.code
        except WorkerStopping:
            self._discard_outputs(claim, checkpoints)
            self._record(claim, released)
            return "released"
        except _TRANSIENT as error:
            self._delay(claim, checkpoints, error)
            raise
        except (KeyboardInterrupt, SystemExit):
            self._record(claim, released)  # not the task's fault
            raise
        except Exception as error:  # noqa: BLE001 - the outermost frame of a task
            self._discard_outputs(claim, checkpoints)
            self._fail(claim, error)
            return "failed"
        return "done"

    # -- the tasks -------------------------------------------------------------------------

    def _do(self, claim: Claim, checkpoints: ClaimedCheckpoints, heartbeat: TaskHeartbeat) -> Learn:
        """Run the task; returns the change of the record that its result requires."""
        pipeline = Pipeline(
            self._context.media,
            checkpoints,
            claim.job.options,
            self._context.decoder,
            self._engines.detector(),
            self._context.policy.part_seconds,
        )
        match claim.task.kind:
            case "fetch":
                return self._fetch(claim.job, checkpoints, heartbeat)
            case "prepare":
                return self._prepare(pipeline, claim.job, heartbeat)
            case "recognize":
                return self._recognize(pipeline, claim, heartbeat)
            case "diarize":
                return self._diarize(pipeline, claim.job, checkpoints, heartbeat)
            case _:
                return self._attribute(pipeline, claim.job)

    def _fetch(self, job: Job, checkpoints: ClaimedCheckpoints, heartbeat: TaskHeartbeat) -> Learn:
        media, size, key = self._context.media, 0, checkpoints.new("recording")
        quotas = Quotas(self._context, job.tenant)
        free = quotas.free_bytes()
        with self._context.fetcher.fetch(job.source_url or "") as source:
            # Checked while it arrives, as an address need not say how large its recording is.
            with media.writer(key) as writer:
                for chunk in source.chunks():
                    writer.write(chunk)
                    size += len(chunk)
                    if free is not None and size > free:
                        raise quotas.storage_exceeded()
                    heartbeat(size / source.size if source.size else 0.0)
            name = source.name
        self._context.meters.upload(size)
        with media.open(key) as file:
            info = self._context.decoder.probe(file)
        quotas.check(size, info.duration or 0.0)
        return partial(fetched, name=name, size_bytes=size, media=info)

    def _prepare(self, pipeline: Pipeline, job: Job, heartbeat: TaskHeartbeat) -> Learn:
        # Before any work, check that this worker's engines exist and support the options.
        if RECOGNIZE_QUEUE in self._queues:
            self._recognizer(job)
        if job.options.enable_diarization:
            self._engines.diarizer()
        with open_recording(self._context.media, job.objects["recording"]) as media:
            plan = pipeline.prepare(media, heartbeat)
        Quotas(self._context, job.tenant).check_length(job.duration, plan.audio.duration)
        return partial(planned, plan=plan, keep_recording=not self._context.policy.drop_recording)

    def _recognize(self, pipeline: Pipeline, claim: Claim, heartbeat: TaskHeartbeat) -> Learn:
        recognizer = self._recognizer(claim.job)
        plan, started = pipeline.load_plan(), time.monotonic()
        pipeline.recognize(plan, claim.task.part, recognizer, heartbeat)
        part, seconds = plan.parts[claim.task.part], time.monotonic() - started
        self._context.meters.recognition(recognizer.engine.name, part.end - part.start, seconds)
        with suppress(*_TRANSIENT):  # an estimate must not fail a part
            self._context.record_speed(seconds / max(part.end - part.start, 0.1))
        return _unchanged

    def _recognizer(self, job: Job) -> Chosen[Recognizer]:
        """The recognizer; raises if it does not support the job's options."""
        recognizer = self._engines.recognizer()
        recognizer.engine.check(job.options)
        return recognizer

    def _diarize(
        self,
        pipeline: Pipeline,
        job: Job,
        checkpoints: ClaimedCheckpoints,
        heartbeat: TaskHeartbeat,
    ) -> Learn:
        plan, identification = pipeline.load_plan(), SpeakerIdentification(self._context, job)
        diarizer = self._engines.diarizer() if plan.audio.channels == 1 else None
        found = pipeline.diarize(plan, diarizer, heartbeat)
        identification.keep(pipeline, plan, found, self._engines.diarizer, checkpoints, heartbeat)
        return _unchanged

    def _attribute(self, pipeline: Pipeline, job: Job) -> Learn:
        plan, parts, diarization = pipeline.load_results()
        # Without a result, the record's warnings say why the speakers are unknown.
        known = diarization or Diarization(warnings=job.warnings)
        timeline = pipeline.load_timeline()
        voices = SpeakerIdentification(self._context, job).known()
        transcript = pipeline.attribute(plan, parts, known, timeline, job.names, voices)
        if self._context.text is not None:
            self._context.text.put_text(job.id, transcript.text)
        return partial(concluded, transcript=transcript)

    # -- ends ------------------------------------------------------------------------------

    def _commit(self, claim: Claim, checkpoints: ClaimedCheckpoints, learn: Learn) -> None:
        """Record the result; waits two leases for a store that is full or unavailable."""
        deadline = time.monotonic() + 2 * self._context.policy.lease_seconds
        change = partial(
            committed,
            name=claim.task.name,
            token=claim.task.token,
            objects=checkpoints.written,
            now=self._context.clock(),
            learn=learn,
        )
        # Work of minutes is not given up for a store that restarts; heartbeats go on meanwhile.
        while time.monotonic() < deadline:
            with suppress(*_TRANSIENT):
                self._context.update(claim.job.id, change)
                return
            time.sleep(_COMMIT_PATIENCE_SECONDS)
        self._context.update(claim.job.id, change)

    def _drop_recording(self, claim: Claim) -> None:
        """Delete the recording once its working audio is recorded, if the policy says so."""
        if claim.task.kind == "prepare" and self._context.policy.drop_recording:
            with suppress(StorageError):  # else maintenance deletes it
                delete_recording(self._context.media, claim.job.objects["recording"])

    def _delay(self, claim: Claim, checkpoints: ClaimedCheckpoints, error: StorageError) -> None:
        """Give the task back because of its store; the record says what it waits for."""
        full = isinstance(error, StorageFull)
        if full:
            self._discard_outputs(claim, checkpoints)
        patience = _SPACE_PATIENCE_SECONDS if full else math.inf
        failure, now = Failure(error.code, str(error)), self._context.clock()
        change = partial(delayed, failure=failure, patience=patience, now=now)
        while not self._record(claim, change):  # else it counts as a death
            if self._stopping.wait(_COMMIT_PATIENCE_SECONDS):
                return

    def _fail(self, claim: Claim, error: Exception) -> None:
        code = error.code if isinstance(error, TranscriptionError) else "worker_error"
        message = str(error) or type(error).__name__
        if isinstance(error, MemoryError):
            message = "The worker has too little memory for this task; give it more."
        unexpected = None if isinstance(error, TranscriptionError) else error
        log.warning("task_failed", code=code, exc_info=unexpected)
        failure = Failure(code, message)
        now, final = self._context.clock(), isinstance(error, _FINAL)
        self._record(claim, partial(task_failed, failure=failure, final=final, now=now))

    def _record(self, claim: Claim, change: Callable[[Job, str, int], Job]) -> bool:
        """Change the record; False if the store did not respond, so that the lease expires."""
        task = claim.task
        with suppress(*_TRANSIENT):
            with suppress(JobError):
                self._context.update(claim.job.id, lambda job: change(job, task.name, task.token))
            return True
        return False

    def _discard_outputs(self, claim: Claim, checkpoints: ClaimedCheckpoints) -> None:
        """
        Delete the objects of a task that was not committed.

        A commit whose response was lost may have succeeded, so objects that the record names are
        kept. Maintenance deletes what cannot be deleted now after the job's end.
        """
        with suppress(StorageError):
            try:
                named = set(self._context.jobs.get(claim.job.id).objects.values())
            except JobNotFound:
                named = set()
            for key in checkpoints.written.values():
                if key not in named:
                    self._context.media.delete(key)


def _unchanged(job: Job) -> Job:
    return job
