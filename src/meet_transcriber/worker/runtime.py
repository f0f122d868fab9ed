"""What every worker process does around its tasks: engines, presence, tending, ending."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from meet_transcriber.bootstrap import services
from meet_transcriber.bootstrap.engines import Fetching, Kept, pyannote_problem
from meet_transcriber.core.errors import (
    EngineUnavailable,
    StorageFull,
    StorageUnavailable,
    TranscriptionError,
)
from meet_transcriber.core.jobs import CPU_QUEUE, RECOGNIZE_QUEUE
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.queues import JobQueue
from meet_transcriber.service import (
    FETCH_ASKED,
    Engines,
    MaintenanceThread,
    ServiceContext,
    WorkerRegistration,
)
from meet_transcriber.settings import Settings

log = get_logger(__name__)

MakeEngines = Callable[[Settings, Fetching], Engines]
"""How a worker comes by its engines; the second argument hears how fetching weights goes."""

MakeGround = Callable[[Settings, JobQueue], ServiceContext]
"""How a worker comes by its stores."""

PATIENCE_SECONDS = 3.0
"""How long a task may take to notice that it should end, before it is given back without it."""
RETRY_SECONDS = 1.0
_ROOM_AGAIN_SECONDS = 5.0
_ENGINES_AGAIN_SECONDS = 60.0
_ASKED_SECONDS = 2.0
_TOLD_SHARE = 0.01


class WorkerProcess:
    """One worker; `work` is for one thread at a time, all else for any.

    Raises:
        StorageUnavailable: the stores do not answer; try again.
        StorageError, InvalidOptions: they cannot be used as configured.
    """

    def __init__(
        self,
        settings: Settings,
        queue: JobQueue,
        queues: tuple[str, ...],
        make_engines: MakeEngines,
        worker_id: str,
        make_context: MakeGround = services.context,
    ) -> None:
        self.stopping = threading.Event()
        self._settings = settings
        self.context = make_context(settings, queue)
        info = WorkerInfo(worker_id, queues, "fetching")
        self._presence = WorkerRegistration(self.context.jobs, self.context.clock, info)
        self._tending = services.tending(settings, self.context, worker_id)
        self._attendant = MaintenanceThread(self._tending, self._presence)
        self._make_engines = partial(make_engines, settings, self._fetching)
        self._engines = self._make_engines()
        self._working = services.working(
            self.context, self._engines, worker_id, queues, self.stopping, self._at
        )
        self._fetched: float | None = None
        self._has_stopgap = False
        self._looked = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def start(self) -> None:
        """Say that the worker is there, and get its engines in a thread."""
        self._say()
        self._attendant.start()
        threading.Thread(target=self._get_engines, name="engines", daemon=True).start()

    def work(self) -> bool:
        """
        Claim a task and see it through, once the engines were looked for.

        Returns False when there was nothing to do, there is no room, or it is time to end.

        Raises:
            StorageUnavailable: the store does not answer; try again later.
        """
        self._looked.wait()
        self._idle.clear()
        try:
            return not self.stopping.is_set() and self._working.work()
        except StorageFull as error:
            log.warning("waiting_for_room", error=str(error))
            self._say(detail=str(error))
            self.stopping.wait(_ROOM_AGAIN_SECONDS)
            return False
        finally:
            self._idle.set()

    def wind_down(self) -> bool:
        """
        Have the task at hand go back to its queue, within seconds.

        Returns False when it goes on all the same, because its engine does not listen: then
        only the end of the process ends it.
        """
        self.stopping.set()
        self._looked.set()
        self._say(state="stopping")
        if self._idle.wait(PATIENCE_SECONDS):
            return True
        self._working.let_go()
        return False

    def close(self) -> None:
        """Leave in good order."""
        self._attendant.stop()
        with suppress(TranscriptionError):
            self._presence.leave()
        self.context.tracer.close()
        self.context.jobs.close()

    def bury(self, gone: Callable[[str], bool]) -> None:
        """Let the tasks of workers that were seen lately and are gone be claimed at once."""
        seen = [worker.id for worker in self.context.jobs.workers(self.context.clock())]
        if dead := [worker_id for worker_id in seen if gone(worker_id)]:
            log.warning("workers_buried", workers=dead)
            self._tending.bury(dead)
            for worker_id in dead:
                self.context.jobs.forget_worker(worker_id)

    # -- engines ---------------------------------------------------------------------------

    def _get_engines(self) -> None:
        """
        Look for engines before any work, again as long as one is missing, and when asked to.

        Work goes on with the engines that are there until others have been looked for.
        """
        asked, engines = self._asked(), self._engines
        while not self.stopping.is_set():
            found = self._look_for_engines(engines)
            self._working.use(engines)
            self._say(**found, progress=0.0, fetched_bytes=0, fetch_bytes=0)
            if not self._looked.is_set():
                self._say(state=self._state(), detail="")
                self._looked.set()
            missing = bool(found["problem"]) or self._has_stopgap
            asked, engines = self._wait_to_look(asked, engines, missing)

    def _wait_to_look(self, asked: str, engines: Engines, missing: bool) -> tuple[str, Engines]:
        """Until it is time to look again; with new engines where somebody asked for that."""
        again_at = time.monotonic() + _ENGINES_AGAIN_SECONDS
        while not self.stopping.wait(_ASKED_SECONDS):
            if (now_asked := self._asked()) != asked:
                asked = now_asked
                if missing:
                    return asked, self._make_engines()
            if missing and time.monotonic() > again_at:
                break
        return asked, engines

    def _asked(self) -> str:
        """When somebody last asked workers to look for the real engines."""
        with suppress(TranscriptionError):
            return self.context.jobs.recall(FETCH_ASKED) or ""
        return ""

    def _look_for_engines(self, engines: Engines) -> dict[str, Any]:
        """Have them built; returns what is to be said of them."""
        queues, problems = self._presence.info.queues, []
        self._has_stopgap = False
        found: dict[str, Any] = {"notes": ()}
        if RECOGNIZE_QUEUE in queues:
            problems.append(self._look_for("engine", engines.recognizer, found))
        if CPU_QUEUE in queues:
            problem = self._look_for("diarizer", engines.diarizer, found)
            problems.append(pyannote_problem(self._settings) or problem)
        return {**found, "problem": " ".join(filter(None, problems))}

    def _look_for(self, what: str, get: Callable[[], Any], found: dict[str, Any]) -> str:
        """Note an engine's name and what fell back; returns what is missing, in sentences."""
        self._fetched, started = None, time.monotonic()
        try:
            chosen = get.again() if isinstance(get, Kept) else get()
        except EngineUnavailable as error:
            log.error("engine_unavailable", part=what, error=str(error))  # noqa: TRY400 - a sentence
            return str(error)
        except Exception as error:
            log.exception("engine_broken", part=what)
            return f"The {what} could not be started: {str(error) or type(error).__name__}."
        found[what] = chosen.engine.name if chosen else ""
        if chosen:
            found["notes"] += tuple(note.message for note in chosen.notes)
            self._has_stopgap |= chosen.is_stopgap
            if not chosen.is_stopgap:
                self._note_start(what, chosen.engine.name, started)
        return ""

    def _note_start(self, what: str, name: str, started: float) -> None:
        """Tell how long an engine took until it could work."""
        now, fetched = time.monotonic(), self._fetched or started
        self.context.meters.engine(what, fetched - started, now - fetched)
        log.info("engine_ready", part=what, engine=name, seconds=round(now - started, 2))

    # -- presence --------------------------------------------------------------------------

    def _fetching(self, done: int, total: int) -> None:
        share = done / max(total, 1)
        self._fetched = time.monotonic()
        # the share falls when another file's size becomes known
        if share >= 1.0 or abs(share - self._presence.info.progress) > _TOLD_SHARE:
            detail = {} if self._looked.is_set() else {"detail": "weights"}
            self._say(progress=share, fetched_bytes=done, fetch_bytes=total, **detail)

    def _at(self, task: str) -> None:
        self._say(state="working" if task else self._state(), detail=task)

    def _state(self) -> str:
        return "stopping" if self.stopping.is_set() else "ready"

    def _say(self, **changes: object) -> None:
        with suppress(TranscriptionError):  # the attendant says it again
            self._presence.say(**changes)


def begin(make: Callable[[], WorkerProcess], over: Callable[[float], bool]) -> WorkerProcess | None:
    """
    A worker as soon as the stores answer; None when it is time to end before they do.

    Args:
        over: waits for so many seconds, or until it is time to end; returns whether it is.
    """
    while True:
        try:
            return make()
        except StorageUnavailable as error:
            log.warning("waiting_for_store", error=str(error))
            if over(RETRY_SECONDS):
                return None
