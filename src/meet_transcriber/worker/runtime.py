"""What every worker process does around its tasks: engines, registration, maintenance, exit."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

from meet_transcriber.bootstrap import doctor, engines, services
from meet_transcriber.bootstrap.engines import LazyEngine, OnFetch, pyannote_problem
from meet_transcriber.core.errors import (
    EngineUnavailable,
    StorageFull,
    StorageUnavailable,
    TranscriptionError,
)
from meet_transcriber.core.jobs import CPU_QUEUE, RECOGNIZE_QUEUE
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.stores import JobQueue
from meet_transcriber.service import (
    FETCH_ASKED,
    MaintenanceThread,
    ServiceContext,
    WorkerRegistration,
)
from meet_transcriber.service.task_runner import Engines, TaskRunner
from meet_transcriber.settings import Settings

log = get_logger(__name__)

MakeEngines = Callable[[Settings, OnFetch], Engines]
"""Makes a worker's engines; the second argument reports the progress of fetching weights."""

MakeContext = Callable[[Settings, JobQueue], ServiceContext]
"""Opens a worker's stores."""

STOP_SECONDS = 3.0
"""How long a task may take to notice that it should stop, before it is released regardless."""
RETRY_SECONDS = 1.0
_STORAGE_FULL_SECONDS = 5.0
_ENGINE_RETRY_SECONDS = 60.0
_REQUEST_POLL_SECONDS = 2.0
_PROGRESS_STEP = 0.01


def worker_engines(settings: Settings, on_fetch: OnFetch) -> Engines:
    """The configured engines, each built and checked when it is first needed."""
    return Engines(
        LazyEngine(lambda: doctor.verified_recognizer(settings, on_fetch)),
        LazyEngine(
            lambda: doctor.verified_diarizer(settings, on_fetch),
            lambda chosen: chosen is None or not chosen.is_stopgap,
        ),
        cache(engines.detector),
    )


class WorkerProcess:
    """One worker. `work` is for one thread at a time, everything else for any.

    Raises:
        StorageUnavailable: the stores do not respond; try again.
        StorageError, InvalidOptions: they cannot be used as configured.
    """

    def __init__(
        self,
        settings: Settings,
        queue: JobQueue,
        queues: tuple[str, ...],
        make_engines: MakeEngines,
        worker_id: str,
        make_context: MakeContext = services.context,
    ) -> None:
        self.stopping = threading.Event()
        self._settings = settings
        self.context = make_context(settings, queue)
        info = WorkerInfo(worker_id, queues, "fetching")
        self._registration = WorkerRegistration(self.context.jobs, self.context.clock, info)
        self._maintenance = services.maintenance(settings, self.context, worker_id)
        self._maintenance_thread = MaintenanceThread(self._maintenance, self._registration)
        self._make_engines = partial(make_engines, settings, self._on_fetch)
        self._engines = self._make_engines()
        self._tasks = TaskRunner(
            self.context, self._engines, worker_id, queues, self.stopping, self._on_task
        )
        self._fetched_at: float | None = None
        self._has_stopgap = False
        self._engines_tried = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def start(self) -> None:
        """Register the worker, and load its engines in a thread."""
        self._update()
        self._maintenance_thread.start()
        threading.Thread(target=self._load_engines, name="engines", daemon=True).start()

    def work(self) -> bool:
        """
        Claim and run a task, after the first attempt to load engines.

        Returns False when there was none, storage is full, or the worker is stopping.

        Raises:
            StorageUnavailable: the store does not respond; try again later.
        """
        self._engines_tried.wait()
        self._idle.clear()
        try:
            return not self.stopping.is_set() and self._tasks.work()
        except StorageFull as error:
            log.warning("waiting_for_room", error=str(error))
            self._update(detail=str(error))
            self.stopping.wait(_STORAGE_FULL_SECONDS)
            return False
        finally:
            self._idle.set()

    def has_ready(self) -> bool:
        """Whether a task is ready for this worker; raises as `work` does."""
        return self._tasks.has_ready()

    def wind_down(self) -> bool:
        """
        Have the current task return to its queue, within seconds.

        Returns False when it keeps running because its engine, or a silent server, cannot be
        interrupted; then only the end of the process ends it.
        """
        self.stopping.set()
        self._engines_tried.set()
        self._update(state="stopping")
        if self._idle.wait(STOP_SECONDS) and self._tasks.wait_for_fetches(STOP_SECONDS):
            return True
        self._tasks.release()
        return False

    def close(self) -> None:
        """Deregister the worker and close its stores."""
        self._maintenance_thread.stop()
        with suppress(TranscriptionError):
            self._registration.remove()
        if self.context.tracer is not None:
            self.context.tracer.close()
        self.context.jobs.close()

    def release_dead_workers(self, is_dead: Callable[[str], bool]) -> None:
        """Release the tasks of registered workers that are dead, so they can be claimed at once."""
        known = [worker.id for worker in self.context.jobs.workers(self.context.clock())]
        if dead := [worker_id for worker_id in known if is_dead(worker_id)]:
            log.warning("dead_workers_released", workers=dead)
            self._maintenance.release_dead_workers(dead)
            for worker_id in dead:
                self.context.jobs.remove_worker(worker_id)

    # -- engines ---------------------------------------------------------------------------

    def _load_engines(self) -> None:
        """
        Load engines before any work; retry while one is missing, and when requested.

        Work continues with the engines that are there until others have been tried.
        """
        request, engines = self._fetch_request(), self._engines
        while not self.stopping.is_set():
            found = self._try_engines(engines)
            self._tasks.set_engines(engines)
            self._update(**found, progress=0.0, fetched_bytes=0, fetch_bytes=0)
            if not self._engines_tried.is_set():
                self._update(state=self._state(), detail="")
                self._engines_tried.set()
            missing = bool(found["problem"]) or self._has_stopgap
            request, engines = self._wait_for_retry(request, engines, missing)

    def _wait_for_retry(self, request: str, engines: Engines, missing: bool) -> tuple[str, Engines]:
        """Wait until it is time to retry; returns new engines where that was requested."""
        retry_at = time.monotonic() + _ENGINE_RETRY_SECONDS
        while not self.stopping.wait(_REQUEST_POLL_SECONDS):
            if (latest := self._fetch_request()) != request:
                request = latest
                if missing:
                    return request, self._make_engines()
            if missing and time.monotonic() > retry_at:
                break
        return request, engines

    def _fetch_request(self) -> str:
        """When workers were last requested to fetch missing weights."""
        with suppress(TranscriptionError):
            return self.context.jobs.get_fact(FETCH_ASKED) or ""
        return ""

    def _try_engines(self, engines: Engines) -> dict[str, Any]:
        """Load the engines; returns the fields of `WorkerInfo` that describe them."""
        queues, problems = self._registration.info.queues, []
        self._has_stopgap = False
        found: dict[str, Any] = {"notes": ()}
        if RECOGNIZE_QUEUE in queues:
            problems.append(self._try_engine("engine", engines.recognizer, found))
        if CPU_QUEUE in queues:
            problem = self._try_engine("diarizer", engines.diarizer, found)
            problems.append(pyannote_problem(self._settings) or problem)
        return {**found, "problem": " ".join(filter(None, problems))}

    def _try_engine(self, part: str, get: Callable[[], Any], found: dict[str, Any]) -> str:
        """Load an engine and add its name and notes to `found`; returns what is wrong, if so."""
        self._fetched_at, started = None, time.monotonic()
        try:
            chosen = get.retry() if isinstance(get, LazyEngine) else get()
        except EngineUnavailable as error:
            log.error("engine_unavailable", part=part, error=str(error))  # noqa: TRY400 - no traceback needed
            return str(error)
        except Exception as error:
            log.exception("engine_broken", part=part)
            return f"The {part} could not be started: {str(error) or type(error).__name__}."
        found[part] = chosen.engine.name if chosen else ""
        if chosen:
            found["notes"] += tuple(note.message for note in chosen.notes)
            self._has_stopgap |= chosen.is_stopgap
            if not chosen.is_stopgap:
                now, fetched = time.monotonic(), self._fetched_at or started
                self.context.meters.engine(part, fetched - started, now - fetched)
                seconds = round(now - started, 2)
                log.info("engine_ready", part=part, engine=chosen.engine.name, seconds=seconds)
        return ""

    # -- registration ----------------------------------------------------------------------

    def _on_fetch(self, done: int, total: int) -> None:
        share = done / max(total, 1)
        self._fetched_at = time.monotonic()
        # the share falls when the size of another file becomes known
        if share >= 1.0 or abs(share - self._registration.info.progress) > _PROGRESS_STEP:
            detail = {} if self._engines_tried.is_set() else {"detail": "weights"}
            self._update(progress=share, fetched_bytes=done, fetch_bytes=total, **detail)

    def _on_task(self, task: str) -> None:
        self._update(state="working" if task else self._state(), detail=task)

    def _state(self) -> str:
        return "stopping" if self.stopping.is_set() else "ready"

    def _update(self, **changes: object) -> None:
        with suppress(TranscriptionError):  # the maintenance thread repeats it
            self._registration.update(**changes)


def connect(
    make: Callable[[], WorkerProcess], should_stop: Callable[[float], bool]
) -> WorkerProcess | None:
    """
    Make a worker as soon as the stores respond; None when it should stop before that.

    `should_stop` waits this long, or until the process should stop; returns whether it should.
    """
    while True:
        try:
            return make()
        except StorageUnavailable as error:
            log.warning("waiting_for_store", error=str(error))
            if should_stop(RETRY_SECONDS):
                return None
