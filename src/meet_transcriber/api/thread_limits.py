"""Looking at what strangers send: in threads that are kept for it, so that others have theirs."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request

P = ParamSpec("P")
T = TypeVar("T")

MOST_OF_TENANT = 8
MOST = 32


class ProbeLimiter:
    """
    Looks at recordings and at names of hosts, so many at a time; the others wait for their turn.

    How long one takes is for the stranger to say: a name server of theirs need not answer, and a
    recording may keep a decoder busy up to its limits. In the threads that all requests share, a
    tenant with a few dozen of these would stop everybody.
    """

    def __init__(self) -> None:
        self._of_tenant = defaultdict[str, CapacityLimiter](lambda: CapacityLimiter(MOST_OF_TENANT))
        self._of_all = CapacityLimiter(MOST)

    async def run(self, tenant: str, call: Callable[[], T]) -> T:
        """The result of a call, made in a thread once it is the tenant's turn."""
        async with self._of_tenant[tenant]:
            return await run_sync(call, limiter=self._of_all)


async def run_limited(
    request: Request, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call what looks at something that came with a request; raises what that raises."""
    looks: ProbeLimiter = request.app.state.looks
    return await looks.run(request.state.caller.tenant, partial(call, *args, **kwargs))
