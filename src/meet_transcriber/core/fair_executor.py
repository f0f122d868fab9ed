"""A thread pool that tenants share: each in turn, and none in more than its share of threads."""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from meet_transcriber.core.errors import RateLimited

T = TypeVar("T")

RETRY_SECONDS = 5.0


class FairExecutor:
    """
    Runs calls whose duration a tenant decides.

    A plain pool serves whoever came first, so that the slow calls of one tenant keep all others
    waiting. Here the threads beyond a tenant's share stay free for others, who take turns.
    """

    def __init__(
        self, threads: int, name: str, *, share: int | None = None, waiting: int | None = None
    ) -> None:
        """
        Args:
            threads: most calls that run at once.
            name: prefix of the names of threads.
            share: most calls of one tenant that run at once; by default half of the threads.
            waiting: most calls of one tenant that wait; None means unlimited.
        """
        self._pool = ThreadPoolExecutor(threads, name)
        self._free = threads
        self._share = share or max(1, threads // 2)
        self._most_waiting = waiting
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = (
            OrderedDict()
        )

    def submit(
        self, tenant: str, call: Callable[..., T], *args: object, **kwargs: object
    ) -> Future[T]:
        """
        Run a call when its tenant's turn comes; a cancelled future's call does not run.

        It sees the context variables of here, such as the request's id.

        Raises:
            RateLimited: too many calls of this tenant wait.
        """
        future: Future[T] = Future()
        with self._lock:
            calls = self._waiting.setdefault(tenant, deque())
            if self._most_waiting is not None and len(calls) >= self._most_waiting:
                raise RateLimited("Too many of your requests are waiting.", RETRY_SECONDS)
            calls.append((future, partial(copy_context().run, call, *args, **kwargs)))
            self._start()
        return future

    def shutdown(self) -> None:
        """Cancel what waits; what runs goes on, and is not waited for."""
        with self._lock:
            calls = [future for each in self._waiting.values() for future, _ in each]
            self._waiting.clear()
        for future in calls:
            future.cancel()
        self._pool.shutdown(wait=False)

    def _start(self) -> None:
        """Start calls while threads are free; the lock is held."""
        while self._free and (tenant := self._next()) is not None:
            calls = self._waiting.pop(tenant)
            future, call = calls.popleft()
            if calls:
                self._waiting[tenant] = calls  # at the end: the others come first
            if future.set_running_or_notify_cancel():
                self._free -= 1
                self._running[tenant] += 1
                self._pool.submit(self._run, tenant, future, call)

    def _next(self) -> str | None:
        """The tenant whose turn it is."""
        within = (each for each in self._waiting if self._running[each] < self._share)
        return next(within, None)

    def _run(self, tenant: str, future: Future[T], call: Callable[[], T]) -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # noqa: BLE001 - the future's owner gets it
            error = raised
        with self._lock:  # before the future is done, so that its owner finds the thread free
            self._free += 1
            self._running[tenant] -= 1
            if not self._running[tenant]:
                del self._running[tenant]
            self._start()
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)
