"""Slow work on jobs, beside maintenance."""

from collections.abc import Callable
from concurrent.futures import Future, wait

from meet_transcriber.core.errors import RateLimited
from meet_transcriber.core.executors import FairExecutor

_WAITING = 50


class JobExecutor:
    """
    Runs calls for jobs: one per job at a time, and as many per tenant as its share.

    What does not fit into a tenant's queue is not kept here; it stays due in the store. Calls
    handle their own errors. Not safe for several threads.
    """

    def __init__(self, threads: int, name: str, share: int) -> None:
        self._pool = FairExecutor(threads, name, share=share, waiting=_WAITING)
        self._futures: dict[str, Future[None]] = {}

    def submit(self, tenant: str, job_id: str, call: Callable[[], None]) -> bool:
        """Run a call, unless one runs or waits for this job; False if the queue is full."""
        known = self._futures.get(job_id)
        if known is not None and not known.done():
            return True
        try:
            self._futures[job_id] = self._pool.submit(tenant, call)
        except RateLimited:
            return False
        return True

    def jobs(self) -> set[str]:
        """Ids of the jobs whose calls run or wait."""
        self._futures = {
            job_id: future for job_id, future in self._futures.items() if not future.done()
        }
        return set(self._futures)

    def wait(self) -> None:
        """Wait for all calls."""
        wait(self._futures.values())

    def close(self) -> None:
        """Cancel what waits; what runs is not waited for."""
        self._pool.shutdown()
