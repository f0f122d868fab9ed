"""An event loop that counts how often a thread reports to it."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

T = TypeVar("T")


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the results that other threads handed over."""

    results = 0

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self.results += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def run_counted(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on such a loop."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(work)


async def poll_counted(app: FastAPI, path: str, key: str, times: int) -> int:
    """Send requests at the same time; return how often a thread was waited for."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        before = loop.results
        polls = [client.get(path, headers={"X-API-Key": key}) for _ in range(times)]
        answers = await asyncio.gather(*polls)
    assert {answer.status_code for answer in answers} == {200}
    return loop.results - before
