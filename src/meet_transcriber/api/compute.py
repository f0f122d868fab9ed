"""Threads for requests that compute, apart from those that all requests share."""

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from starlette.requests import ClientDisconnect, Request

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.executors import STOPPING, FairExecutor

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""A tenant has half of them; more would only divide the same processor time."""
MOST_WAITING = 100
"""Calls of one tenant that wait for a thread; further ones are refused."""


def make_executor() -> FairExecutor:
    """The threads of one process."""
    return FairExecutor(THREADS, "compute", waiting=MOST_WAITING)


async def run_compute(
    request: Request, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """
    Run a call that reads or changes a whole transcript, which may take long.

    In the threads that all requests share, which also check keys, a few dozen such calls of one
    tenant would block everyone.

    Raises:
        RateLimited: too many calls of this tenant wait.
        ClientDisconnect: the client left before the call began.
        StorageUnavailable: the server stops.
    """
    executor: FairExecutor = request.app.state.compute
    future = executor.submit(request.state.caller.tenant, call, *args, **kwargs)
    result = asyncio.wrap_future(future)
    left = asyncio.create_task(_wait_until_left(request))
    either: set[asyncio.Future[Any]] = {result, left}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not result.done() and future.cancel():  # else it runs, and is not interrupted
            raise ClientDisconnect
        return await result
    except asyncio.CancelledError:
        future.cancel()
        check_not_stopping(result)
        raise
    finally:
        left.cancel()


def check_not_stopping(result: asyncio.Future[Any]) -> None:
    """Raise StorageUnavailable if a shutdown cancelled this call, and not its request."""
    if result.cancelled() and not asyncio.current_task().cancelling():  # type: ignore[union-attr]
        raise StorageUnavailable(STOPPING) from None


async def _wait_until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
