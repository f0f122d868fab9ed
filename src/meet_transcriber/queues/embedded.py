"""The queue of a single machine: no messages, only a bell; the store itself is the list."""

from collections.abc import Callable
from typing import Protocol


class Bell(Protocol):
    """What keeps the worker alive and can wake it."""

    def start(self, died: Callable[[str], None]) -> None: ...

    def ring(self) -> None: ...

    def close(self) -> None: ...


class EmbeddedQueue:
    """
    A JobQueue whose worker looks into the store by itself, and at once when the bell rings.

    Without a bell, as in the worker and in an API process that does not supervise it, work is
    found at the worker's next look.
    """

    def __init__(self, bell: Bell | None = None) -> None:
        self._bell = bell

    def start(self, died: Callable[[str], None]) -> None:
        """Have a worker from now on; `died` hears the id of one that ended unexpectedly."""
        if self._bell is not None:
            self._bell.start(died)

    def nudge(self, queue: str, job_id: str, task: str) -> None:  # noqa: ARG002 - as ports has it
        if self._bell is not None:
            self._bell.ring()

    def length(self, queue: str) -> int:  # noqa: ARG002 - as ports has it
        return 0

    def ping(self) -> None:
        return

    def close(self) -> None:
        if self._bell is not None:
            self._bell.close()
