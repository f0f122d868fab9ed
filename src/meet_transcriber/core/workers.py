"""Workers: what one is called, where it runs, and what it says of itself."""

from dataclasses import dataclass
from typing import NamedTuple


class WorkerName(NamedTuple):
    """
    The parts of a worker's id; no two workers ever have the same three.

    Attributes:
        host: the name of the machine or container.
        pid: of the process, or of the one that supervises it.
        token: hexadecimal chance; the children of one Celery worker share it.
    """

    host: str
    pid: int
    token: str

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.token}"


def parse_worker_name(worker_id: str) -> WorkerName | None:
    """The parts of an id that `WorkerName` wrote; None for any other text."""
    host, *rest = worker_id.rsplit("-", 2)
    if len(rest) != 2 or not rest[0].isdecimal():  # noqa: PLR2004 - pid and token
        return None
    return WorkerName(host, int(rest[0]), rest[1])


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it last said about itself.

    Attributes:
        state: `fetching` weights, `ready`, `working` or `stopping`.
        detail: what it fetches or works on, or why it cannot work.
        problem: a sentence when its engines are not there, else empty.
        seen_at: when it said so.
        since: when it came to be in this state, at this detail; 0 where an older version told.
        notes: what fell back when its engines were chosen, in sentences.
        fetched_bytes, fetch_bytes: of the weights that it is fetching; 0 of 0 when it is not.
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
