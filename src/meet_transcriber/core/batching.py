"""Questions of concurrent callers, answered together in one call."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

MOST_QUESTIONS = 200


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
