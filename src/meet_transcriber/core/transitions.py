"""
Every change of a job's record, as a pure function from one record to the next.

Stores run these atomically, possibly more than once. A function that finds nothing to change
returns the very record it was given, and then nothing is written.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from meet_transcriber.core.errors import JobCancelled, JobConflict, JobNotFound, LeaseLost
from meet_transcriber.core.jobs import (
    DIARIZE_SHARE,
    PREPARE_SHARE,
    RECOGNIZE_SHARE,
    Delay,
    Failure,
    Job,
    State,
    Task,
)
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import Plan
from meet_transcriber.core.speaker_timeline import SPEAKER_TIMELINE
from meet_transcriber.core.transcript import Transcript, TranscriptWarning
from meet_transcriber.core.voices import KNOWN_NAMES, KNOWN_SPEAKERS, TO_REMEMBER, VOICES

_FURTHER = 0.01  # less counts as no progress; else a crash at the same place never ends

KEPT = ("recording", "edits.json", SPEAKER_TIMELINE, KNOWN_SPEAKERS, TO_REMEMBER)
"""Logical names of the objects that no rerun replaces."""
SNAPSHOT = "snapshots/"
"""Begins the logical names of snapshots of the edited transcript; their places follow."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed task and its job's record at the moment of claiming."""

    job: Job
    task: Task


# -- submitting ------------------------------------------------------------------------------


def submitted(job: Job, now: float) -> Job:
    """The recording was received and probed: the job begins."""
    if job.state != "uploading" or job.deleted:
        raise JobConflict(
            "The upload was deleted before it was complete; send the recording again."
        )
    # Clients see when it was submitted, not when its upload began.
    return replace(job, state="pending", tasks=_beginning(job), created_at=now, lease_until=0.0)


def withdrawn(job: Job, now: float) -> Job:
    """The upload is deleted; a job that has begun stays as it is."""
    return deleted(job, now) if job.state == "uploading" else job


def _beginning(job: Job) -> tuple[Task, ...]:
    """The first tasks; a recording that is not stored yet is fetched first."""
    if "recording" in job.objects or job.source_url is None:
        return (Task("prepare", weight=PREPARE_SHARE),)
    return Task("fetch"), Task("prepare", state="waiting", weight=PREPARE_SHARE)


# -- working ---------------------------------------------------------------------------------


def claimed(job: Job, queues: Collection[str], worker: str, now: float, lease: float) -> Job:
    """A worker holds the next ready task of these queues; the same record if there is none."""
    task = next((task for task in job.in_state("ready") if task.claim_queue in queues), None)
    if task is None:
        return job
    # Never given twice, so that a worker that was thought dead cannot commit what another one does.
    token = job.fence + 1
    held = replace(
        task,
        state="running",
        worker=worker,
        token=token,
        lease_until=now + lease,
        started_at=now,
        progress=0.0,
    )
    return replace(
        job.with_task(held),
        state="processing",
        fence=token,
        served_at=now,
        started_at=job.started_at or now,
    )


def claim_in(job: Job, worker: str) -> Claim | None:
    """The claim that `claimed` made for a worker with the record's last token."""
    for task in job.in_state("running"):
        if task.token == job.fence and task.worker == worker:
            return Claim(job, task)
    return None


def alive(job: Job, name: str, token: int, progress: float, now: float, lease: float) -> Job:
    """The holder renews its lease and reports its progress."""
    task = held(job, name, token)
    # A heartbeat that is repeated late must not set the progress back.
    task = replace(task, progress=max(task.progress, progress), lease_until=now + lease)
    return _with_progress(job.with_task(task))


def committed(
    job: Job,
    name: str,
    token: int,
    objects: Mapping[str, str],
    now: float,
    learn: Callable[[Job], Job] = lambda job: job,
) -> Job:
    """
    A task's result is recorded; tasks that waited for it become ready.

    Args:
        objects: logical name -> key of what the task left in the MediaStore.
        learn: adds what the record states about the result: `planned`, `concluded`.
    """
    held(job, name, token)
    # The stores work, or the result could not be here.
    job = replace(job, objects={**job.objects, **objects}, delay=None)
    return _unlocked(_done(learn(job), name, now), now)


def fetched(job: Job, name: str, size_bytes: int, media: MediaInfo) -> Job:
    """The recording was fetched; its address, which may contain a secret, is removed."""
    return replace(
        job,
        name=job.name or name,
        size_bytes=size_bytes,
        media=media,
        duration=media.duration,
        source_url=None,
    )


def planned(job: Job, plan: Plan, keep_recording: bool = True) -> Job:
    """`prepare` is done: adds one task per part, and one to diarize in parallel."""
    seconds = sum(part.end - part.start for part in plan.parts)
    tasks = list(job.tasks)
    if job.options.enable_diarization or plan.audio.channels > 1:
        tasks.append(Task("diarize", weight=DIARIZE_SHARE))
    tasks += [
        Task(
            f"recognize:{part.index}",
            weight=RECOGNIZE_SHARE * (part.end - part.start) / seconds,
        )
        for part in plan.parts
    ]
    tasks.append(Task("attribute", state="waiting"))
    objects = dict(job.objects)
    if not keep_recording:
        objects.pop("recording", None)
    return replace(job, tasks=tuple(tasks), objects=objects, duration=plan.audio.duration)


def concluded(job: Job, transcript: Transcript) -> Job:
    """The record describes the transcript that `attribute` made."""
    return replace(
        job,
        warnings=transcript.warnings,
        engine=transcript.engine,
        diarizer=transcript.diarizer,
        speakers_found=len(transcript.speakers),
        names=dict(transcript.names),
        names_found={
            label: name for label, name in transcript.names.items() if label not in job.names
        },
    )


def released(job: Job, name: str, token: int) -> Job:
    """The holder gives the task back, which does not count as a death."""
    task = held(job, name, token)
    return job.with_task(replace(task, state="ready", worker="", progress=0.0))


def delayed(job: Job, name: str, token: int, failure: Failure, patience: float, now: float) -> Job:
    """
    A store is full or unavailable: the task is given back, which does not count as a death.

    Args:
        patience: seconds of delay after which the job fails.
    """
    before = job.delay if job.delay and job.delay.code == failure.code else None
    since = before.since if before else now
    if now - since > patience:
        return _given_up(job, held(job, name, token), failure, now)
    job = released(job, name, token)
    return replace(job, delay=Delay(failure.code, failure.message, since))


def task_failed(job: Job, name: str, token: int, failure: Failure, final: bool, now: float) -> Job:
    """The task failed; `final` if another attempt would fail the same way."""
    task = held(job, name, token)
    if final:
        return _given_up(job, task, failure, now)
    return _died(job, task, failure, now)


def expired(job: Job, now: float, dead: Collection[str] = (), latest: float = math.inf) -> Job:
    """
    Tasks whose lease has run out, or whose worker is dead, become ready again.

    Args:
        latest: the latest moment at which a recently renewed lease can end.
    """
    for task in job.tasks:
        # A lease that ends too late was given by a clock that was set back since, and would never
        # end.
        silent = not now < task.lease_until <= latest or task.worker in dead
        if task.state == "running" and silent and not job.ended:
            failure = Failure(
                "worker_lost",
                f"The worker died {task.attempts + 1} times in task {task.name} without further "
                "progress; its log or the system's says why (often memory).",
            )
            job = _died(job, task, failure, now)
    return job


def _died(job: Job, task: Task, failure: Failure, now: float) -> Job:
    # Only deaths at the same place count: a long task may lose a worker more often than that.
    further = task.progress > task.reached + _FURTHER
    attempts = 1 if further else task.attempts + 1
    if attempts >= job.max_attempts:
        return _given_up(job, task, failure, now)
    return job.with_task(
        replace(
            task,
            state="ready",
            worker="",
            attempts=attempts,
            reached=max(task.reached, task.progress),
            progress=0.0,
        )
    )


def _given_up(job: Job, task: Task, failure: Failure, now: float) -> Job:
    """A failed diarization is only a warning; any other failed task fails the job."""
    # These two codes are mistakes of the operator or the caller, whom a mere warning might not
    # reach.
    if task.kind != "diarize" or failure.code in ("engine_unavailable", "invalid_options"):
        return ended(replace(job, error=failure), "failed", now)
    message = f"Speakers are unknown because diarization failed: {failure.message}"
    warning = TranscriptWarning("diarization_failed", message)
    job = replace(job, warnings=(*job.warnings, warning))
    return _unlocked(_done(job, task.name, now), now)


def check_accepts_results(job: Job) -> None:
    """Raise JobNotFound or JobCancelled if the job was deleted or cancelled."""
    if job.deleted:
        raise JobNotFound(f"Job {job.id} was deleted.")
    if job.state == "cancelled":
        raise JobCancelled("The job was cancelled.")


def held(job: Job, name: str, token: int) -> Task:
    """
    The claimed task.

    Raises:
        JobNotFound, JobCancelled: the job was deleted or cancelled.
        LeaseLost: the task has another token by now.
    """
    check_accepts_results(job)
    task = next((task for task in job.in_state("running") if task.name == name), None)
    if task is None or task.token != token:
        raise LeaseLost(f"Task {name} of job {job.id} was taken over by another worker.")
    return task


def _done(job: Job, name: str, now: float) -> Job:
    task = replace(job.task(name), state="done", progress=1.0, worker="", finished_at=now)
    return _with_progress(job.with_task(task))


def _unlocked(job: Job, now: float) -> Job:
    """The last task becomes ready when all others are done; the job ends with it."""
    left = [task for task in job.tasks if task.state != "done"]
    if not left:
        return ended(job, "completed", now)
    if len(left) == 1 and left[0].state == "waiting":
        return job.with_task(replace(left[0], state="ready"))
    return job


def _with_progress(job: Job) -> Job:
    share = sum(task.weight * task.progress for task in job.tasks)
    return replace(job, progress=max(job.progress, min(share, 1.0)))


# -- ending ----------------------------------------------------------------------------------


def ended(job: Job, state: State, now: float) -> Job:
    """The job has ended; its webhook becomes due."""
    # One id for all attempts to deliver it, by which a receiver recognizes repetitions.
    webhook = job.webhook and replace(
        job.webhook, next_at=now, attempts=0, outcome="waiting", event_id=f"{job.id}-{job.run}"
    )
    progress = 1.0 if state == "completed" else job.progress
    return replace(
        job,
        state=state,
        finished_at=now,
        progress=progress,
        webhook=webhook,
        tidy_at=now,
        delay=None,
    )


def cancelled(job: Job, now: float) -> Job:
    """The job ends at once, later results are discarded; raises JobConflict if it has ended."""
    if job.ended:
        raise JobConflict(f"The job has ended already: it is {job.state}.")
    return ended(job, "cancelled", now)


def deleted(job: Job, now: float) -> Job:
    """The job is hidden; maintenance removes its objects and record."""
    return job if job.deleted else replace(job, deleted=True, tidy_at=now)


def rerun(
    job: Job,
    kinds: Collection[str],
    options: Options,
    now: float,
    confirmed: Collection[str | None] = (),
) -> Job:
    """
    The job runs again: all of it, or some tasks and those that depend on them.

    Args:
        kinds: kinds of task, `unfinished` for those that were not done; empty for all.
        confirmed: labels whose names users gave, even where the same name was found.

    Raises:
        JobConflict: it has not ended, or the object that the rerun starts from was deleted.
    """
    if not job.ended:
        raise JobConflict(f"The job is {job.state}; cancel it before running it again.")
    tasks = _reset(job, kinds)
    objects = _without_results(job.objects, tasks)
    if edits := objects.pop("edits.json", None):  # they refer to words that are replaced
        objects[f"edits-{job.run}.json"] = edits
        objects = {name: key for name, key in objects.items() if not name.startswith(SNAPSHOT)}
    again = {task.kind for task in tasks if task.state != "done"}
    names = {} if again & {"prepare", "diarize"} else job.names_given(confirmed)
    job = replace(job, tasks=tasks, objects=objects, names=names, names_found={}, edited=False)
    first = next(task.kind for task in tasks if task.state != "done")
    needed = {"fetch": None, "prepare": "recording"}.get(first, "working.flac")
    if needed and needed not in job.objects:
        raise JobConflict(
            "The audio that this starts from was not kept (AUDIO_RETENTION=delete, or "
            "MEDIA_URL=redis); submit the recording again."
        )
    begun = replace(
        job,
        options=options,
        state="pending",
        run=job.run + 1,
        error=None,
        warnings=(),
        progress=sum(task.weight for task in tasks if task.state == "done"),
        finished_at=None,
        served_at=0.0,
        expires_at=None,
        tidy_at=None,
    )
    return _unlocked(begun, now)


def _reset(job: Job, kinds: Collection[str]) -> tuple[Task, ...]:
    planned_once = any(task.kind == "attribute" for task in job.tasks)
    if not kinds or "prepare" in kinds or not planned_once:
        return _beginning(job)
    tasks = [
        task
        if task.state == "done" and task.kind not in {*kinds, "attribute"}
        else Task(task.name, "waiting" if task.kind == "attribute" else "ready", task.weight)
        for task in job.tasks
    ]
    if "diarize" in kinds and not any(task.kind == "diarize" for task in tasks):
        tasks.insert(-1, Task("diarize", weight=DIARIZE_SHARE))
    return tuple(tasks)


def _without_results(objects: Mapping[str, str], tasks: Sequence[Task]) -> dict[str, str]:
    if not any(task.kind == "attribute" for task in tasks):  # from the beginning
        return {name: key for name, key in objects.items() if name in KEPT}
    again = {name for task in tasks if task.state != "done" for name in results_of(task)}
    return {name: key for name, key in objects.items() if name not in again}


def results_of(task: Task) -> tuple[str, ...]:
    """Logical names of the objects that a task writes."""
    if task.kind == "recognize":
        return (f"parts/{task.part:04d}.json",)
    left = {
        "diarize": ("diarization.json", VOICES, KNOWN_NAMES),
        "attribute": ("transcript.json",),
    }
    return left[task.kind]
