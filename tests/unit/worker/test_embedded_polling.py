"""How often an idle embedded worker looks for work."""

import threading
from typing import Any

from meet_transcriber.worker.embedded import _loop


class Work:
    """A worker whose tasks are the given answers, and then none."""

    def __init__(self, *answers: bool) -> None:
        self.stopping, self.polls, self._answers = threading.Event(), 0, list(answers)

    def work(self) -> bool:
        self.polls += 1
        return self._answers.pop(0) if self._answers else False


class Wakeup:
    """Notes how long it is waited for work, and stops the worker after so many seconds."""

    def __init__(self, work: Work, seconds: float) -> None:
        self.work_event, self.waited = self, list[float]()
        self._work, self._seconds = work, seconds

    def clear(self) -> None:
        """There is no event to clear."""

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if sum(self.waited) > self._seconds:
            self._work.stopping.set()
        return False


def waits(work: Work, seconds: float) -> list[float]:
    wakeup: Any = Wakeup(work, seconds)
    process: Any = work
    _loop(process, wakeup, 0.1)
    return list(wakeup.waited)


def test_an_idle_worker_polls_about_once_a_second() -> None:
    work = Work()
    waits(work, 60)
    assert work.polls < 70


def test_a_worker_polls_quickly_again_after_work() -> None:
    found = waits(Work(*[False] * 5, True), 4)
    assert found[:5] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert found[5:7] == [0.1, 0.2]
