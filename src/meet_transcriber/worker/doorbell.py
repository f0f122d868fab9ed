"""Where a process hears its supervisor and its signals, without a handler that could block."""

import os
import select
import signal
import threading
from types import FrameType
from typing import Self


class Doorbell:
    """
    Tells the main thread when to end, and others when to look for work.

    Args:
        lifeline: a pipe; a byte on it rings, its end means that the process should end.
    """

    def __init__(self, lifeline: int | None = None) -> None:
        self.rung = threading.Event()
        self._lifeline = lifeline
        self._inside, self._outside = os.pipe()
        os.set_blocking(self._outside, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._outside, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _once)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._inside)
        os.close(self._outside)

    def end(self) -> None:
        """Have `over` say that the process should end."""
        os.write(self._outside, b"\0")

    def over(self, seconds: float | None = None) -> bool:
        """Listen for so long, or until it is time to end; returns whether it is."""
        ears = [self._inside] if self._lifeline is None else [self._inside, self._lifeline]
        while True:
            heard, _, _ = select.select(ears, [], [], seconds)
            if self._inside in heard:
                return True
            if self._lifeline in heard and not os.read(self._lifeline, 4096):
                return True
            self.rung.set()
            if seconds is not None:
                return False


def _once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal calls it
    """The wake-up pipe has it; whoever asks a second time means it."""
    signal.signal(number, signal.SIG_DFL)
