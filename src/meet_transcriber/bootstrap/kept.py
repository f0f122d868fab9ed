"""Engines that are made once and kept."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from meet_transcriber.core.errors import EngineUnavailable

T = TypeVar("T")

_RETRY_SECONDS = 60.0


class Kept(Generic[T]):
    """
    What `make` gave once.

    An engine that is not there is looked for again a minute later. A stopgap stays until
    `again` is called, which a worker does between its tasks: no task waits for weights.
    """

    def __init__(
        self,
        make: Callable[[], T],
        is_whole: Callable[[T], bool] = lambda _made: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._is_whole, self._clock = make, is_whole, clock
        self._made: list[T] = []
        self._missing: list[tuple[float, EngineUnavailable]] = []
        self._one_at_a_time = threading.Lock()

    def __call__(self) -> T:
        """Raises EngineUnavailable."""
        if self._made:
            return self._made[0]
        return self.again()

    def again(self) -> T:
        """The same, with another try where there is a stopgap; raises EngineUnavailable."""
        with self._one_at_a_time:
            if self._made and self._is_whole(self._made[0]):
                return self._made[0]
            if self._missing and self._clock() - self._missing[-1][0] < _RETRY_SECONDS:
                raise self._missing[-1][1]
            try:
                self._made[:] = [self._make()]
            except EngineUnavailable as error:
                self._missing[:] = [(self._clock(), error)]
                raise
            return self._made[0]
