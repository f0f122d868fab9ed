"""Settings to a service: stores, queue, outbound calls, and what a worker needs."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

from meet_transcriber.bootstrap import doctor, encryption, engines, observability
from meet_transcriber.bootstrap.engines import Kept
from meet_transcriber.core.errors import EngineUnavailable, InvalidOptions, StorageError
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.options import Options
from meet_transcriber.core.redis_urls import RedisAddress, parse_redis_url
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import Diarizer, Recognizer
from meet_transcriber.ports.queues import JobQueue
from meet_transcriber.ports.stores import (
    Clock,
    Copied,
    JobStore,
    MediaStore,
    TextIndex,
)
from meet_transcriber.service import (
    Engines,
    Maintenance,
    Policy,
    Service,
    ServiceContext,
    TaskRunner,
    WebhookDispatcher,
)
from meet_transcriber.settings import Settings, listed

_MEBIBYTE = 1 << 20
_DATABASE = "jobs.sqlite3"
"""How long an engine that is not there counts as such before it is looked for again."""


@dataclass(frozen=True)
class Stores:
    """Where jobs and objects are kept, and the clock that all who use them share."""

    jobs: JobStore
    media: MediaStore
    text: TextIndex | None
    clock: Clock = time.time


def redis_address(settings: Settings) -> RedisAddress | None:
    """The Redis that the settings name; raises InvalidOptions for an address that is none."""
    if settings.redis_url is None:
        return None
    password = settings.redis_password
    return parse_redis_url(
        settings.redis_url.get_secret_value(),
        password=password.get_secret_value() if password else None,
        master_name=settings.redis_master_name,
    )


def stores(settings: Settings) -> Stores:
    """
    Connect to the stores that the settings name.

    Raises:
        StorageError: they cannot be reached or used.
        InvalidOptions: an address makes no sense.
    """
    address = redis_address(settings)
    if address is None:
        from meet_transcriber.stores.sqlite.jobs import SqliteJobStore

        make_data_dir(settings)
        jobs = SqliteJobStore(settings.data_dir / _DATABASE)
        return Stores(jobs, media_store(settings), jobs)
    from meet_transcriber.stores.redis.jobs import RedisJobStore

    jobs_there = RedisJobStore(address)
    return Stores(jobs_there, media_store(settings), None, jobs_there.clock)


def back_up(settings: Settings, folder: Path) -> Copied:
    """Copy what this machine keeps; raises StorageError, InvalidOptions where Redis keeps it."""
    from meet_transcriber.stores.backup import back_up

    return back_up(_database(settings), media_store(settings), folder)


def put_back(settings: Settings, folder: Path) -> Copied:
    """Bring back what `back_up` copied; raises as it does."""
    from meet_transcriber.stores.backup import put_back

    return put_back(folder, _database(settings), media_store(settings))


def _database(settings: Settings) -> Path:
    if settings.redis_url is not None:
        raise InvalidOptions(
            "REDIS_URL is set, so jobs are in Redis, whose own files are the backup: "
            "docs/operations.md has the commands."
        )
    return settings.data_dir / _DATABASE


def make_data_dir(settings: Settings) -> None:
    """Have the folder of everything that is kept here, a new one private; raises StorageError."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {settings.data_dir} cannot be made: {error.strerror or error}. "
            "DATA_DIR names another one."
        ) from error


def media_store(settings: Settings) -> MediaStore:
    """Where objects are kept; raises InvalidOptions for an address of no known kind."""
    address, url = redis_address(settings), media_url(settings)
    if url == "redis":
        if address is None:
            raise InvalidOptions("MEDIA_URL=redis needs REDIS_URL.")
        from meet_transcriber.stores.redis.client import build_client
        from meet_transcriber.stores.redis.media import RedisMediaStore

        return RedisMediaStore(build_client(address), settings.redis_media_budget_mb * _MEBIBYTE)
    if url.startswith("file://"):
        from meet_transcriber.stores.disk import DiskMediaStore

        return DiskMediaStore(Path(url.removeprefix("file://")))
    from meet_transcriber.stores.buckets.store import ObjectMediaStore

    return ObjectMediaStore.from_url(url)


def media_url(settings: Settings) -> str:
    """Where objects are kept: what the settings say, else beside the jobs."""
    beside = f"file://{settings.data_dir}/media" if settings.redis_url is None else "redis"
    return settings.media_url or beside


def rules(settings: Settings) -> Policy:
    """What the operator decided, in the service's own terms."""
    ttl, hours = settings.result_ttl_hours, settings.max_audio_hours_per_day
    stored = settings.max_stored_mb
    return Policy(
        max_upload_bytes=settings.max_upload_size_mb * _MEBIBYTE,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
        part_seconds=settings.part_seconds,
        drop_recording=media_url(settings) == "redis",
        keep_audio=settings.audio_retention == "keep",
        result_ttl_seconds=None if ttl is None else ttl * 3600.0,
        expire_edited=settings.result_ttl_edited,
        max_queued_jobs=settings.max_queued_jobs or None,
        max_jobs_in_flight=settings.max_jobs_in_flight,
        max_audio_seconds=None if hours is None else hours * 3600.0,
        max_stored_bytes=None if stored is None else stored * _MEBIBYTE,
    )


def context(settings: Settings, queue: JobQueue, role: str = "worker") -> ServiceContext:
    """
    What a service or a worker stands on.

    Args:
        role: of this process, as traces name it.

    Raises:
        StorageError, InvalidOptions: the stores cannot be used as configured.
    """
    from meet_transcriber.outbound.download import Fetcher

    kept = stores(settings)
    fetcher = Fetcher(
        _allowed(settings),
        max_bytes=settings.max_upload_size_mb * _MEBIBYTE,
        timeout_seconds=settings.url_timeout_seconds,
    )
    return ServiceContext(
        jobs=kept.jobs,
        media=kept.media,
        queue=queue,
        decoder=engines.decoder(settings),
        fetcher=fetcher,
        clock=kept.clock,
        rules=rules(settings),
        text=kept.text,
        meters=observability.meters(settings),
        tracer=observability.tracer(settings, role),
        sealer=encryption.sealer(settings),
    )


def service(settings: Settings, queue: JobQueue) -> Service:
    """The service on the configured context."""
    return Service(context(settings, queue, "api"), partial(refuse, settings))


def refuse(settings: Settings, options: Options) -> None:
    """Raise InvalidOptions for what the model's name tells that it cannot do."""
    _refuse_for_model(settings.whisper_model, options)


def _refuse_for_model(model: str, options: Options) -> None:
    """What a model's name alone tells; the rest is found when the model is loaded."""
    if options.task != "translate":
        return
    name = model.rstrip("/").rpartition("/")[2]
    if "turbo" in name or name.endswith(".en"):
        why = "knows English only" if name.endswith(".en") else "cannot translate"
        raise InvalidOptions(f"Whisper {name} {why}; WHISPER_MODEL=medium or large-v3 translates.")


def tending(settings: Settings, context: ServiceContext, holder: str) -> Maintenance:
    """What looks after jobs in this process, webhooks included."""
    from meet_transcriber.outbound.webhooks import WebhookSender, next_attempt

    sender = WebhookSender(_allowed(settings))
    postman = WebhookDispatcher(
        context, sender, webhook_secret(settings, context.jobs), next_attempt
    )
    return Maintenance(context, holder, postman, _steady())


def _steady() -> Clock:
    """Seconds since the machine started, sleep included where the system counts it."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boot is None else partial(time.clock_gettime, boot)


def webhook_secret(settings: Settings, jobs: JobStore) -> str:
    """
    The secret that signs webhooks: the configured one, or one made up once per JobStore.

    Raises:
        InvalidOptions: WEBHOOK_SECRET is malformed.
    """
    from meet_transcriber.outbound.webhooks import check_secret, new_secret

    if settings.webhook_secret is not None:
        secret = settings.webhook_secret.get_secret_value()
        check_secret(secret)
        return secret
    return jobs.recall("webhook_secret") or jobs.settle("webhook_secret", new_secret())


def _allowed(settings: Settings) -> list[str]:
    return listed(settings.outbound_allow)


# -- queues ------------------------------------------------------------------------------------


class TaskQueue(JobQueue, Protocol):
    """A JobQueue whose workers are Celery's: they register the task `task_name` with `app`."""

    app: Any
    task_name: str


def embedded_queue() -> JobQueue:
    """The queue of one machine as its worker has it, who looks for work without being told."""
    from meet_transcriber.queues.embedded import EmbeddedQueue

    return EmbeddedQueue()


def celery_queue(settings: Settings) -> TaskQueue:
    """
    The queue of processes that share a Redis.

    Raises:
        InvalidOptions: there is no REDIS_URL, or one that makes no sense.
    """
    from meet_transcriber.queues.celery import CeleryQueue, make_app

    address = redis_address(settings)
    if address is None:
        raise InvalidOptions(
            "A Celery worker needs REDIS_URL, the address of the Redis that it shares with the "
            "API, such as redis://redis:6379/0. Without Redis run: meet-transcriber worker"
        )
    return CeleryQueue(make_app(address))


def open_queue(settings: Settings, command: Callable[[str], Sequence[str]]) -> JobQueue:
    """
    The queue of an API process; an embedded worker is started by `start_worker`.

    Args:
        command: from the id of a new embedded worker to what starts it.
    """
    if not settings.embedded:
        return embedded_queue() if settings.redis_url is None else celery_queue(settings)
    from meet_transcriber.queues.embedded import EmbeddedQueue, WorkerSupervisor

    make_data_dir(settings)
    return EmbeddedQueue(WorkerSupervisor(command, settings.data_dir / "worker.lock"))


def queue_from_outside(settings: Settings) -> JobQueue:
    """The queue as commands see it, who have no worker of their own."""
    return embedded_queue() if settings.embedded else open_queue(settings, lambda _id: ())


def start_worker(queue: JobQueue, died: Callable[[str], None]) -> None:
    """Have the embedded worker run, where the queue has one; `died` hears when it broke down."""
    from meet_transcriber.queues.embedded import EmbeddedQueue

    if isinstance(queue, EmbeddedQueue):
        queue.start(died)


# -- workers -----------------------------------------------------------------------------------


def worker_engines(
    settings: Settings, fetching: engines.Fetching = lambda _done, _all: None
) -> Engines:
    """A worker's engines, each built and tried when it is first asked for, and kept."""
    return Engines(
        Kept(lambda: _recognizer(settings, fetching)),
        Kept(lambda: _diarizer(settings, fetching), _is_whole),
        cache(engines.detector),
    )


def _recognizer(settings: Settings, fetching: engines.Fetching) -> Chosen[Recognizer]:
    return doctor.verified(engines.recognizer(settings, fetching), doctor.check_recognizer)


def _diarizer(settings: Settings, fetching: engines.Fetching) -> Chosen[Diarizer] | None:
    chosen = engines.diarizer(settings, fetching)
    if chosen is None or chosen.is_stopgap:
        return chosen
    try:
        return doctor.verified(chosen, doctor.check_diarizer)
    except EngineUnavailable as error:
        return engines.without_speakers(settings, error)


def _is_whole(chosen: Chosen[Diarizer] | None) -> bool:
    return chosen is None or not chosen.is_stopgap


def working(
    context: ServiceContext,
    engines: Engines,
    worker: str,
    queues: tuple[str, ...] = QUEUES,
    stopping: threading.Event | None = None,
    tell: Callable[[str], None] = lambda _task: None,
) -> TaskRunner:
    """One worker's side of the service."""
    return TaskRunner(context, engines, worker, queues, stopping or threading.Event(), tell)


def check_place(settings: Settings) -> None:
    """
    Refuse to start where jobs would be lost.

    Raises:
        InvalidOptions: on Cloud Run without Redis; says what to set.
    """
    if os.environ.get("K_SERVICE") and settings.redis_url is None:
        raise InvalidOptions(
            "On Cloud Run an instance and its disk may vanish at any time, so jobs kept here "
            "would be lost: set REDIS_URL to a Redis that API and workers share."
        )
