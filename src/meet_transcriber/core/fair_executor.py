"""A thread pool that tenants share: each in turn, and none in more than its share of threads."""

import threading
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from meet_transcriber.core.errors import RateLimited

T = TypeVar("T")

RETRY_SECONDS = 5.0
STOPPING = "The server is stopping; try again."
"""What to tell the caller of a call that a shutdown cancelled."""


def _serve(calls: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # an idle thread keeps neither the executor nor a result


def _end_threads(calls: "SimpleQueue[Callable[[], None] | None]", threads: int) -> None:
    for _ in range(threads):
        calls.put(None)


class FairExecutor:
    """
    Runs calls whose duration a tenant decides.

    A plain pool serves whoever came first, so that the slow calls of one tenant keep all others
    waiting. Here the threads beyond a tenant's share stay free for others, who take turns.
    Unlike those of ThreadPoolExecutor, the threads do not keep the process from ending.
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
        self._name = name
        self._free = self._unstarted = threads
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._end = weakref.finalize(self, _end_threads, self._calls, threads)
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

        It sees the context variables of here, such as the request's id. After a shutdown the
        future is cancelled.

        Raises:
            RateLimited: too many calls of this tenant wait.
        """
        future: Future[T] = Future()
        with self._lock:
            if not self._end.alive:
                future.cancel()
                return future
            calls = self._waiting.setdefault(tenant, deque())
            if self._most_waiting is not None and len(calls) >= self._most_waiting:
                left = [each for each in calls if not each[0].cancelled()]
                calls.clear()
                calls.extend(left)
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
            self._end()
        for future in calls:
            future.cancel()

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
                if self._unstarted:
                    self._start_thread()
                self._calls.put(partial(self._run, tenant, future, call))

    def _start_thread(self) -> None:
        self._unstarted -= 1
        # The interpreter does not wait for daemon threads when it ends.
        thread = threading.Thread(target=_serve, args=(self._calls,), name=self._name, daemon=True)
        thread.start()

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
