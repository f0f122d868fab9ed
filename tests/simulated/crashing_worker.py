"""
`python -m tests.simulated.crashing_worker`: a worker that may die while it commits a task.

SOAK_LEDGER: a file outside the service that gets a line for every commit that counted.
SOAK_DEATHS: a file that gets a line for every death in a commit, before it happens.
SOAK_SHARE: the share of commits that are deadly; half of those deaths come right before the
store is asked, half right after.
SOAK_MOST: so many deaths of this kind in all, and none twice at one task: what kills its worker
again and again is given up after three times, and rightly so.
"""

import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from meet_transcriber.bootstrap import observability, services
from meet_transcriber.core.jobs import Job
from meet_transcriber.ports.stores import JobQueue, JobStore, Updated
from meet_transcriber.service import ServiceContext
from meet_transcriber.settings import Settings
from meet_transcriber.worker import embedded
from tests.simulated.engines import make_engines


def append(path: str, line: str) -> None:
    """Write a line at once, whatever happens next."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


class CrashingJobStore:
    """A JobStore in whose commits the process may die; all else is the real store's."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._chance = random.Random(os.getpid())
        self._ledger, self._deaths = os.environ["SOAK_LEDGER"], os.environ["SOAK_DEATHS"]
        self._share = float(os.environ["SOAK_SHARE"])
        self._most = int(os.environ["SOAK_MOST"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def update(self, job_id: str, change: Callable[[Job], Job]) -> Updated:
        done: list[str] = []

        def noting(old: Job) -> Job:
            new = change(old)
            before = {task.name for task in old.tasks if task.state == "done"}
            done[:] = [
                task.name for task in new.tasks if task.state == "done" and task.name not in before
            ]
            if done and self._fate() == "before":
                self._die(f"before {job_id} {done[0]}")
            return new

        updated = self._store.update(job_id, noting)
        if done:
            for name in done:
                append(self._ledger, f"{job_id} {name}")
            if self._fate() == "after":
                self._die(f"after {job_id} {done[0]}")
        return updated

    def _fate(self) -> str:
        if self._chance.random() > self._share:
            return "life"
        return self._chance.choice(("before", "after"))

    def _die(self, where: str) -> None:
        task = where.partition(" ")[2]
        with open(self._deaths, "a+") as deaths:  # noqa: PTH123 - as append does
            deaths.seek(0)
            before = deaths.read().splitlines()
        if len(before) >= self._most or any(line.endswith(task) for line in before):
            return
        append(self._deaths, f"{os.getpid()} {where}")
        os.kill(os.getpid(), signal.SIGKILL)


def crashing_context(settings: Settings, queue: JobQueue) -> ServiceContext:
    """The configured context, with a store that is deadly."""
    context = services.context(settings, queue)
    return replace(context, jobs=CrashingJobStore(context.jobs))


def main() -> None:
    """Work until told to end, or until fate comes."""
    settings = Settings()
    observability.set_up_logging(settings)
    embedded.run(settings, make_engines, make_context=crashing_context)


if __name__ == "__main__":
    main()
