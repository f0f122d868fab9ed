"""Small jobs for tests of stores."""

from dataclasses import replace
from typing import Any

from meet_transcriber.core.jobs import Job, Task
from meet_transcriber.core.options import Options


def job(job_id: str = "job-1", **fields: Any) -> Job:
    """A pending job with one ready task; `fields` say what is different."""
    ready = Job(job_id, Options(), name=f"{job_id}.mp3", created_at=100.0)
    return replace(ready, **{"tasks": (Task("prepare"),), **fields})


def long_job(job_id: str, tasks: int, **fields: Any) -> Job:
    """A job with many ready parts."""
    parts = tuple(Task(f"recognize:{part}") for part in range(tasks))
    return job(job_id, tasks=parts, **fields)


def one_more(job: Job) -> Job:
    """A change that can be counted afterwards."""
    return replace(job, fence=job.fence + 1)


def unchanged(job: Job) -> Job:
    """A change without effect."""
    return job
