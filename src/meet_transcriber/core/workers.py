"""The ids of workers, and what workers report about themselves."""

import os
import secrets
import socket
from dataclasses import dataclass
from typing import NamedTuple


class WorkerName(NamedTuple):
    """
    The parts of a worker's id, which is unique.

    Attributes:
        host: the name of the machine or container.
        pid: of the process, or of the one that supervises it.
        token: random hexadecimal digits, shared by the children of one Celery worker.
    """

    host: str
    pid: int
    token: str

    @classmethod
    def new(cls, token: str | None = None) -> "WorkerName":
        """Of this process, or of a worker that it supervises; without a token at random."""
        return cls(socket.gethostname(), os.getpid(), token or secrets.token_hex(4))

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.token}"


def parse_worker_name(worker_id: str) -> WorkerName | None:
    """Parse `str(WorkerName)`; None for any other text."""
    host, *rest = worker_id.rsplit("-", 2)
    if len(rest) != 2 or not rest[0].isdecimal():  # noqa: PLR2004 - pid and token
        return None
    return WorkerName(host, int(rest[0]), rest[1])


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """The latest report of a worker.

    Attributes:
        state: `fetching` weights, `ready`, `working` or `stopping`.
        detail: what it fetches or works on, or why it cannot work.
        problem: why its engines are missing, in a sentence; else empty.
        seen_at: when it reported.
        since: when it entered this state and detail.
        notes: fallbacks in the choice of its engines, in sentences.
        fetched_bytes, fetch_bytes: of the weights that it fetches; 0 of 0 if it does not.
    """

    id: str
    queues: tuple[str, ...]
    state: str
    engine: str = ""
    diarizer: str = ""
    detail: str = ""
    problem: str = ""
    progress: float = 0.0
    seen_at: float = 0.0
    since: float = 0.0
    notes: tuple[str, ...] = ()
    fetched_bytes: int = 0
    fetch_bytes: int = 0
