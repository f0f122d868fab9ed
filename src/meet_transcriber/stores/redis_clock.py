"""The one clock that processes on several machines share."""

import time
from contextlib import suppress
from typing import Any

from meet_transcriber.core.errors import StorageError
from meet_transcriber.stores.redis_client import RedisCalls

_ASKED_AGAIN_SECONDS = 5.0


class RedisClock:
    """
    The time of the Redis that keeps the jobs, so that setting a machine's clock harms no lease.

    Between questions it goes on by this process's own steady clock. Until Redis has answered
    for the first time, when nothing can be kept anyway, it is this machine's time.
    """

    def __init__(self, calls: RedisCalls) -> None:
        self._calls = calls
        self._client: Any = calls.client
        self._offset: float | None = None
        self._asked_at = -_ASKED_AGAIN_SECONDS

    def __call__(self) -> float:
        if time.monotonic() - self._asked_at >= _ASKED_AGAIN_SECONDS:
            with suppress(StorageError):
                self._ask()
            self._asked_at = time.monotonic()
        return time.time() if self._offset is None else time.monotonic() + self._offset

    def _ask(self) -> None:
        seconds, microseconds = self._calls.run(self._client.time)
        self._offset = seconds + microseconds / 1e6 - time.monotonic()
