"""How long a job waited and was worked on."""

from meet_transcriber.core.jobs import Job


def waited_seconds(job: Job) -> float | None:
    """From sending to the first claim; None while nobody knows, and for a rerun."""
    return _between(job.created_at, job.started_at) if job.run == 1 else None


def worked_seconds(job: Job) -> float | None:
    """From the first claim to the end; None while nobody knows, and for a rerun."""
    return _between(job.started_at, job.finished_at) if job.run == 1 else None


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0.0)
