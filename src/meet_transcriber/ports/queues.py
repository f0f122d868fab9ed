"""How workers learn of ready tasks."""

from typing import Protocol


class JobQueue(Protocol):
    """
    Notifies workers of ready tasks.

    A message is a permit, not a task: the worker that receives it claims the next ready task of
    the queue, if there is one. So a duplicate message is harmless, and `length` may be too low
    but is never too high for long.
    """

    def notify(self, queue: str, job_id: str, task: str) -> None:
        """
        Announce a ready task.

        Raises:
            StorageUnavailable: the broker does not respond; maintenance announces it again.
        """
        ...

    def length(self, queue: str) -> int:
        """Number of messages not yet received; raises StorageUnavailable as `notify` does."""
        ...

    def ping(self) -> None:
        """Check the broker; raises StorageUnavailable as `notify` does."""
        ...

    def close(self) -> None:
        """Close connections; stops an embedded worker."""
        ...
