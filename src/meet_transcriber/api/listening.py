"""How many streams of events a tenant may have open: each looks at the store again and again."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import Request

from meet_transcriber.api.admission import ToRead
from meet_transcriber.core.errors import RateLimited

MOST = 300
_WAIT_SECONDS = 30.0


class Listeners:
    """Who listens to this process."""

    def __init__(self, most: int = MOST) -> None:
        """
        Args:
            most: streams of one tenant at a time.
        """
        self._most = most
        self._open = Counter[str]()

    @contextmanager
    def one_more(self, tenant: str) -> Iterator[None]:
        """
        Listen within the context.

        Raises:
            RateLimited: the tenant has as many streams open as it may.
        """
        if self._open[tenant] >= self._most:
            raise RateLimited(
                f"You have {self._most} streams of events open, and more are not served at a time; "
                "close some of them.",
                _WAIT_SECONDS,
            )
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1


async def listens(request: Request, service: ToRead) -> AsyncIterator[None]:
    """What a route of events depends on; ends with its stream."""
    listeners: Listeners = request.app.state.listeners
    with listeners.one_more(service.reading.tenant or ""):
        yield
