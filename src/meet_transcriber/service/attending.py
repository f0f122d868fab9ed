"""The thread in every API and worker process that tends jobs and says that the process lives."""

import threading
from collections.abc import Callable
from dataclasses import replace

from meet_transcriber.core.errors import TranscriptionError
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.logs import get_logger
from meet_transcriber.ports.stores import JobStore
from meet_transcriber.service.tending import Tending

log = get_logger(__name__)

FETCH_ASKED = "fetch_asked"
"""Name of the fact that says when workers were last asked to look for the real engines."""

INTERVAL_SECONDS = 2.0
_REMEMBERED_SECONDS = 15.0


class Presence:
    """What a worker says of itself, until it says something else; safe for several threads."""

    def __init__(self, jobs: JobStore, clock: Callable[[], float], info: WorkerInfo) -> None:
        self._jobs = jobs
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self.info = info

    def say(self, **changes: object) -> None:
        """Tell the store, with these fields of WorkerInfo changed."""
        with self._one_at_a_time:  # else the timer could say again what is no longer so
            now, old = self._clock(), self.info
            info = replace(old, seen_at=now, **changes)  # type: ignore[arg-type]
            as_before = old.since and (info.state, info.detail) == (old.state, old.detail)
            self.info = info if as_before else replace(info, since=now)
            self._jobs.note_worker(self.info, _REMEMBERED_SECONDS)

    def leave(self) -> None:
        """Say that the worker has gone."""
        self._jobs.forget_worker(self.info.id)


class Attendant:
    """Tends on a timer; a store that is away is tried again at the next turn."""

    def __init__(
        self, tending: Tending, presence: Presence | None = None, seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._tending = tending
        self._presence = presence
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attendant", daemon=True)

    def start(self) -> None:
        """Begin; at most once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for what is going on."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                if self._presence is not None:
                    self._presence.say()
                self._tending.tend()
            except TranscriptionError as error:
                log.warning("tending_delayed", error=str(error))
            except Exception:  # the outermost frame of this thread, which must go on
                log.exception("tending_broken")
