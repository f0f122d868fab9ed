"""Queue lengths over all tenants, for operators and autoscalers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meet_transcriber.core.jobs import QUEUES, Backlog, JobQuery
from meet_transcriber.ports.queues import JobQueue
from meet_transcriber.ports.stores import JobStore


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The state of the queues.

    Attributes:
        messages: queue -> messages in the broker.
        oldest_seconds: age of the oldest unfinished job; None without any.
    """

    backlog: Backlog
    messages: Mapping[str, int]
    oldest_seconds: float | None

    def length(self, queue: str) -> int:
        """Ready and running tasks; unlike messages, not 0 while a worker is busy."""
        return self.backlog.ready.get(queue, 0) + self.backlog.running.get(queue, 0)

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        ready, running = self.backlog.ready, self.backlog.running
        return {
            "celery_queue_length": sum(map(self.length, QUEUES)),
            "queues": {
                name: {
                    "ready": ready.get(name, 0),
                    "running": running.get(name, 0),
                    "length": self.length(name),
                    "messages": self.messages[name],
                }
                for name in QUEUES
            },
            "jobs": dict(self.backlog.jobs),
            "oldest_seconds": self.oldest_seconds,
            "audio_seconds_left": self.backlog.seconds_left,
        }


def measure(jobs: JobStore, queue: JobQueue, now: float) -> QueueStats:
    """
    Read the current state.

    Raises:
        StorageError: the store or the broker does not respond.
    """
    oldest = jobs.page(JobQuery(limit=1, order="asc", states=("pending", "processing")))
    return QueueStats(
        jobs.backlog(),
        {name: queue.length(name) for name in QUEUES},
        max(now - oldest[0].created_at, 0.0) if oldest else None,
    )
