"""Threads that callers share: tenants take turns, or concurrent questions are asked in one call."""

import asyncio
import threading
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from meet_transcriber.core.errors import RateLimited

T = TypeVar("T")
Q = TypeVar("Q")
A = TypeVar("A")

RETRY_SECONDS = 5.0
MOST_QUESTIONS = 200
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


class Batcher(Generic[Q, A]):
    """
    Asks a place on the network for the tasks of an event loop, in a thread of its own.

    Questions that come during a call are answered together by the next one, so many cost little
    more than one, and no answer is older than its question.
    """

    def __init__(
        self, answer: Callable[[list[Q]], Sequence[A]], name: str, most: int = MOST_QUESTIONS
    ) -> None:
        """
        Args:
            answer: returns the answers to some questions, in their order.
            name: of the thread.
            most: questions in one call; the others wait for the next.
        """
        self._answer = answer
        self._most = most
        self._pool = ThreadPoolExecutor(1, name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._busy = False

    async def ask(self, question: Q) -> A:
        """Return the answer; raises what the call raised."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # an earlier one has ended, and its callers with it
            self._loop, self._waiting, self._busy = loop, deque(), False
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, answer))
        if not self._busy:
            self._busy = True
            # Not at once, so that all tasks that are about to ask do so first; and without the
            # log fields of this request, as the call is made for others, too.
            loop.call_soon(self._start, loop, context=Context())
        return await answer

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        number = min(len(self._waiting), self._most)
        batch = [self._waiting.popleft() for _ in range(number)]
        self._pool.submit(self._call, loop, batch)

    def _call(
        self, loop: asyncio.AbstractEventLoop, batch: list[tuple[Q, asyncio.Future[A]]]
    ) -> None:
        answers: Sequence[A] = ()
        error: BaseException | None = None
        try:
            answers = self._answer([question for question, _ in batch])
        except BaseException as raised:  # noqa: BLE001 - the callers get it
            error = raised
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(self._finish, loop, batch, answers, error)

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[Q, asyncio.Future[A]]],
        answers: Sequence[A],
        error: BaseException | None,
    ) -> None:
        for number, (_, answer) in enumerate(batch):
            if answer.done():  # its caller was cancelled
                continue
            if error is None:
                answer.set_result(answers[number])
            else:
                answer.set_exception(error)
        if loop is not self._loop:
            return
        if self._waiting:
            self._start(loop)
        else:
            self._busy = False
