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

_FURTHER = 0.01  # less than this counts as no progress

KEPT = ("recording", "edits.json", SPEAKER_TIMELINE, KNOWN_SPEAKERS, TO_REMEMBER)
"""Logical names of the objects that no rerun makes again."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task that somebody holds, as of the moment of claiming."""

    job: Job
    task: Task


# -- submitting ------------------------------------------------------------------------------


def submitted(job: Job, now: float) -> Job:
    """The recording is here and was looked at: the job begins."""
    if job.state != "uploading" or job.deleted:
        raise JobConflict("The upload was given up before it ended; send the recording again.")
    return replace(job, state="pending", tasks=_beginning(job), created_at=now, lease_until=0.0)


def withdrawn(job: Job, now: float) -> Job:
    """The sender gave the upload up; a job that has begun stays as it is."""
    return deleted(job, now) if job.state == "uploading" else job


def _beginning(job: Job) -> tuple[Task, ...]:
    """The first tasks; a recording that is not here yet has to be fetched."""
    if "recording" in job.objects or job.source_url is None:
        return (Task("prepare", weight=PREPARE_SHARE),)
    return Task("fetch"), Task("prepare", state="waiting", weight=PREPARE_SHARE)


# -- working ---------------------------------------------------------------------------------


def claimed(job: Job, queues: Collection[str], worker: str, now: float, lease: float) -> Job:
    """Give the next task of these queues to a worker; the same record when there is none."""
    task = next((task for task in job.in_state("ready") if task.queue in queues), None)
    if task is None:
        return job
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
    """What `claimed` gave to a worker with the record's last token."""
    for task in job.in_state("running"):
        if task.token == job.fence and task.worker == worker:
            return Claim(job, task)
    return None


def alive(job: Job, name: str, token: int, progress: float, now: float, lease: float) -> Job:
    """The holder lives and has come so far."""
    task = _held(job, name, token)
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
    A task's result counts from now on; what waited for it may begin.

    Args:
        objects: logical name -> key of what the task left in the MediaStore.
        learn: takes what the record itself should say of the result: `planned`, `concluded`.
    """
    _held(job, name, token)
    job = replace(job, objects={**job.objects, **objects}, delay=None)
    return _unlocked(_done(learn(job), name, now), now)


def fetched(job: Job, name: str, size_bytes: int, media: MediaInfo) -> Job:
    """The recording came from its address, which may hold a secret and is not needed any more."""
    return replace(
        job,
        name=job.name or name,
        size_bytes=size_bytes,
        media=media,
        duration=media.duration,
        source_url=None,
    )


def planned(job: Job, plan: Plan, keep_recording: bool = True) -> Job:
    """`prepare` is done: one task per part, and one to find the speakers, side by side."""
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
    """What the record itself tells about the transcript that `attribute` made."""
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
    """The holder gives the task back in good order; that never counts as a death."""
    task = _held(job, name, token)
    return job.with_task(replace(task, state="ready", worker="", progress=0.0))


def delayed(job: Job, name: str, token: int, failure: Failure, patience: float, now: float) -> Job:
    """
    A store has no room or no answer: the task goes back and is no worse for it.

    Args:
        patience: seconds after which a job that gets on no more is given up.
    """
    before = job.delay if job.delay and job.delay.code == failure.code else None
    since = before.since if before else now
    if now - since > patience:
        return _given_up(job, _held(job, name, token), failure, now)
    job = released(job, name, token)
    return replace(job, delay=Delay(failure.code, failure.message, since))


def task_failed(job: Job, name: str, token: int, failure: Failure, final: bool, now: float) -> Job:
    """The holder could not do it; `final` when another attempt would end the same way."""
    task = _held(job, name, token)
    if final:
        return _given_up(job, task, failure, now)
    return _died(job, task, failure, now)


def expired(job: Job, now: float, dead: Collection[str] = (), latest: float = math.inf) -> Job:
    """
    Tasks whose holder is silent for too long, or known to be dead, may be claimed again.

    Args:
        latest: later than this no lease can end that was renewed lately.
    """
    for task in job.tasks:
        silent = not now < task.lease_until <= latest or task.worker in dead
        if task.state == "running" and silent and not job.ended:
            failure = Failure(
                "worker_lost",
                f"The worker died {task.attempts + 1} times while at {task.name}, each time "
                "without getting further; its log or the system's says why (often memory).",
            )
            job = _died(job, task, failure, now)
    return job


def _died(job: Job, task: Task, failure: Failure, now: float) -> Job:
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
    """A diarizer that breaks costs no words; anything else that cannot be done ends the job."""
    if task.kind != "diarize" or failure.code in ("engine_unavailable", "invalid_options"):
        return ended(replace(job, error=failure), "failed", now)
    message = f"Speakers are unknown, because diarization failed: {failure.message}"
    warning = TranscriptWarning("diarization_failed", message)
    job = replace(job, warnings=(*job.warnings, warning))
    return _unlocked(_done(job, task.name, now), now)


def _held(job: Job, name: str, token: int) -> Task:
    """The task, if this token still holds it."""
    if job.deleted:
        raise JobNotFound(f"Job {job.id} was deleted.")
    if job.state == "cancelled":
        raise JobCancelled("The job was cancelled.")
    task = next((task for task in job.in_state("running") if task.name == name), None)
    if task is None or task.token != token:
        raise LeaseLost(f"Task {name} of job {job.id} was taken over by another worker.")
    return task


def _done(job: Job, name: str, now: float) -> Job:
    task = replace(job.task(name), state="done", progress=1.0, worker="", finished_at=now)
    return _with_progress(job.with_task(task))


def _unlocked(job: Job, now: float) -> Job:
    """The last task may begin when all else is done; when it is done, so is the job."""
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
    """The job is over; whoever asked to be told is told."""
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
    """
    End the job at once; its workers notice, and nothing they still do counts.

    Raises:
        JobConflict: it has ended already.
    """
    if job.ended:
        raise JobConflict(f"The job has ended already: it is {job.state}.")
    return ended(job, "cancelled", now)


def deleted(job: Job, now: float) -> Job:
    """Nobody sees the job from now on; what it left is removed afterwards."""
    return job if job.deleted else replace(job, deleted=True, tidy_at=now)


def rerun(
    job: Job,
    kinds: Collection[str],
    options: Options,
    now: float,
    confirmed: Collection[str | None] = (),
) -> Job:
    """
    Do a job again: all of it, or some tasks and what depends on them.

    Args:
        kinds: kinds of task, `unfinished` for those that were not done; empty for all.
        confirmed: labels whose names people gave, even where the same name was found.

    Raises:
        JobConflict: it is still going on, or what the rerun would start from is gone.
    """
    if not job.ended:
        raise JobConflict(f"The job is {job.state}; cancel it before running it again.")
    tasks = _reset(job, kinds)
    objects = _without_results(job.objects, tasks)
    if edits := objects.pop("edits.json", None):  # history of words that will be no more
        objects[f"edits-{job.run}.json"] = edits
    again = {task.kind for task in tasks if task.state != "done"}
    names = {} if again & {"prepare", "diarize"} else job.names_given(confirmed)
    job = replace(job, tasks=tasks, objects=objects, names=names, names_found={}, edited=False)
    first = next(task.kind for task in tasks if task.state != "done")
    needed = {"fetch": None, "prepare": "recording"}.get(first, "working.flac")
    if needed and needed not in job.objects:
        raise JobConflict(
            "The audio that this would start from is not kept (AUDIO_RETENTION=delete, or "
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
    """The objects that stay named when these tasks are done again."""
    if not any(task.kind == "attribute" for task in tasks):  # from the beginning
        return {name: key for name, key in objects.items() if name in KEPT}
    again = {name for task in tasks if task.state != "done" for name in results_of(task)}
    return {name: key for name, key in objects.items() if name not in again}


def results_of(task: Task) -> tuple[str, ...]:
    """Logical names of what a task leaves behind."""
    if task.kind == "recognize":
        return (f"parts/{task.part:04d}.json",)
    left = {
        "diarize": ("diarization.json", VOICES, KNOWN_NAMES),
        "attribute": ("transcript.json",),
    }
    return left[task.kind]
