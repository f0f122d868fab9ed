"""Runs probes and DNS lookups in a bounded thread pool, so that they cannot exhaust the others."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request

P = ParamSpec("P")
T = TypeVar("T")

MOST_PER_TENANT = 8
MOST = 32


class ProbeLimiter:
    """
    Limits the threads that examine untrusted input, per tenant and in all; more calls wait.

    The sender decides how long a call takes: its name server need not answer, and its recording
    may keep a decoder busy up to the limits. In the threads that all requests share, a few dozen
    such calls of one tenant would block everyone.
    """

    def __init__(self) -> None:
        self._tenants = defaultdict[str, CapacityLimiter](lambda: CapacityLimiter(MOST_PER_TENANT))
        self._all = CapacityLimiter(MOST)

    async def run(self, tenant: str, call: Callable[[], T]) -> T:
        """Call in a thread once the tenant has one free, and return or raise what it does."""
        async with self._tenants[tenant]:
            return await run_sync(call, limiter=self._all)


async def run_limited(
    request: Request, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call what examines input of this request; raises what the call raises."""
    limiter: ProbeLimiter = request.app.state.probe_limiter
    return await limiter.run(request.state.caller.tenant, partial(call, *args, **kwargs))
