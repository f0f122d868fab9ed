"""What a worker is called: where it runs, and which one it is there."""

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
