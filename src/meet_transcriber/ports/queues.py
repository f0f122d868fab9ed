"""How workers hear that there is something to do."""

from typing import Protocol


class JobQueue(Protocol):
    """
    Tells workers that there is something to do.

    A message is a permit, not a task: who gets it claims whatever is next in its queue, and
    finds out then whether there is anything. So a message that comes twice does no harm, and
    `length` may count too few but never too many for long.
    """

    def nudge(self, queue: str, job_id: str, task: str) -> None:
        """
        Say that this task became ready.

        Raises:
            StorageUnavailable: the broker does not answer; tending says it again later.
        """
        ...

    def length(self, queue: str) -> int:
        """Messages that nobody has taken yet; raises StorageUnavailable as `nudge` does."""
        ...

    def ping(self) -> None:
        """Find out whether messages go out; raises StorageUnavailable as `nudge` does."""
        ...

    def close(self) -> None:
        """Give up connections; an embedded worker ends."""
        ...
