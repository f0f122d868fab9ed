"""Settings to a service: stores, queue, and outbound calls."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meet_transcriber.bootstrap import engines, observability
from meet_transcriber.bootstrap.auth import sealer
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.ports.stores import (
    Clock,
    Copied,
    JobQueue,
    JobStore,
    MediaStore,
    TextIndex,
)
from meet_transcriber.service import (
    Maintenance,
    Policy,
    Service,
    ServiceContext,
    WebhookDispatcher,
)
from meet_transcriber.service.probing import Probes
from meet_transcriber.settings import Settings, listed, make_data_dir, redis_address

if TYPE_CHECKING:
    from meet_transcriber.queues.celery import CeleryQueue

_MEBIBYTE = 1 << 20
_DATABASE = "jobs.sqlite3"


@dataclass(frozen=True)
class Stores:
    """Where jobs and objects are stored, and the clock that all their processes share."""

    jobs: JobStore
    media: MediaStore
    text: TextIndex | None
    clock: Clock = time.time


def stores(settings: Settings) -> Stores:
    """Connect to the stores; raises StorageError, or InvalidOptions for a malformed address."""
    address = redis_address(settings)
    if address is None:
        from meet_transcriber.stores.sqlite.jobs import SqliteJobStore

        make_data_dir(settings)
        jobs = SqliteJobStore(settings.data_dir / _DATABASE)
        return Stores(jobs, media_store(settings), jobs)
    from meet_transcriber.stores.redis.jobs import RedisJobStore

    redis_jobs = RedisJobStore(address)
    return Stores(redis_jobs, media_store(settings), None, redis_jobs.clock)


def back_up(settings: Settings, folder: Path) -> Copied:
    """Copy the jobs and objects of this machine; raises StorageError, InvalidOptions with Redis."""
    from meet_transcriber.stores.backup import back_up

    return back_up(_database(settings), media_store(settings), folder)


def put_back(settings: Settings, folder: Path) -> Copied:
    """Restore what `back_up` copied; raises as it does."""
    from meet_transcriber.stores.backup import put_back

    return put_back(folder, _database(settings), media_store(settings))


def _database(settings: Settings) -> Path:
    if settings.redis_url is not None:
        raise InvalidOptions(
            "REDIS_URL is set, so jobs are in Redis, whose own files are the backup: "
            "docs/operations.md has the commands."
        )
    return settings.data_dir / _DATABASE


def media_store(settings: Settings) -> MediaStore:
    """The store of objects; raises InvalidOptions for an unknown kind of address."""
    address, url = redis_address(settings), media_url(settings)
    if url == "redis":
        if address is None:
            raise InvalidOptions("MEDIA_URL=redis needs REDIS_URL.")
        from meet_transcriber.stores.redis.media import RedisMediaStore

        return RedisMediaStore(address, settings.redis_media_budget_mb * _MEBIBYTE)
    if url.startswith("file://"):
        from meet_transcriber.stores.disk import DiskMediaStore

        return DiskMediaStore(Path(url.removeprefix("file://")))
    from meet_transcriber.stores.object_storage import ObjectMediaStore

    return ObjectMediaStore.from_url(url)


def media_url(settings: Settings) -> str:
    """Where objects are stored: MEDIA_URL, else beside the jobs."""
    default = f"file://{settings.data_dir}/media" if settings.redis_url is None else "redis"
    return settings.media_url or default


def policy(settings: Settings) -> Policy:
    """The limits and retention that the settings ask for."""
    ttl, hours = settings.result_ttl_hours, settings.max_audio_hours_per_day
    stored = settings.max_stored_mb
    return Policy(
        max_upload_bytes=settings.max_upload_size_mb * _MEBIBYTE,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
        part_seconds=settings.part_seconds,
        drop_recording=media_url(settings) == "redis",  # memory is scarce
        keep_audio=settings.audio_retention == "keep",
        result_ttl_seconds=None if ttl is None else ttl * 3600.0,
        expire_edited=settings.result_ttl_edited,
        max_queued_jobs=settings.max_queued_jobs or None,
        max_jobs_in_flight=settings.max_jobs_in_flight,
        max_audio_seconds=None if hours is None else hours * 3600.0,
        max_stored_bytes=None if stored is None else stored * _MEBIBYTE,
        translation_problem=_translation_problem(settings),
    )


def _translation_problem(settings: Settings) -> str:
    """Why the model, going by its name, cannot translate; empty if it can."""
    name = settings.whisper_model.rstrip("/").rpartition("/")[2]
    if "turbo" not in name and not name.endswith(".en"):
        return ""
    why = "knows English only" if name.endswith(".en") else "cannot translate"
    return f"Whisper {name} {why}; WHISPER_MODEL=medium or large-v3 translates."


def context(settings: Settings, queue: JobQueue, role: str = "worker") -> ServiceContext:
    """
    The dependencies of a service or a worker.

    Args:
        role: name of this process in traces.

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
    decoder = engines.decoder(settings)
    return ServiceContext(
        jobs=kept.jobs,
        media=kept.media,
        queue=queue,
        decoder=decoder,
        fetcher=fetcher,
        clock=kept.clock,
        policy=policy(settings),
        text=kept.text,
        meters=observability.meters(settings),
        tracer=observability.tracer(settings, role),
        sealer=sealer(settings),
        probes=Probes(engines.probe_places(decoder)),
    )


def service(settings: Settings, queue: JobQueue) -> Service:
    """The service of an API process."""
    return Service(context(settings, queue, "api"))


def maintenance(settings: Settings, context: ServiceContext, holder: str) -> Maintenance:
    """Maintenance of jobs in this process, webhooks included."""
    from meet_transcriber.outbound.webhooks import WebhookSender, next_attempt, tenant_secret

    sender = WebhookSender(_allowed(settings))
    secret_of = partial(tenant_secret, _installation_secret(settings, context.jobs))
    dispatcher = WebhookDispatcher(context, sender, secret_of, next_attempt)
    return Maintenance(context, holder, dispatcher, _boot_clock())


def _boot_clock() -> Clock:
    """Seconds since boot, including sleep where the system counts it."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boot is None else partial(time.clock_gettime, boot)


def webhook_secret(settings: Settings, jobs: JobStore, tenant: str = "") -> str:
    """
    The secret that signs a tenant's webhooks; several, separated by spaces, while they rotate.

    Raises InvalidOptions if WEBHOOK_SECRET is malformed.
    """
    from meet_transcriber.outbound.webhooks import tenant_secret

    return tenant_secret(_installation_secret(settings, jobs), tenant)


def _installation_secret(settings: Settings, jobs: JobStore) -> str:
    """The configured WEBHOOK_SECRET, or a generated one."""
    from meet_transcriber.outbound.webhooks import new_secret, parse_secret

    if settings.webhook_secret is not None:
        secret = settings.webhook_secret.get_secret_value()
        parse_secret(secret)  # raises if it is malformed
        return secret
    return jobs.get_fact("webhook_secret") or jobs.set_fact_once("webhook_secret", new_secret())


def _allowed(settings: Settings) -> list[str]:
    return listed(settings.outbound_allow)


# -- queues ------------------------------------------------------------------------------------


def embedded_queue() -> JobQueue:
    """The queue of one machine without a supervisor; its worker polls."""
    from meet_transcriber.queues.embedded import EmbeddedQueue

    return EmbeddedQueue()


def celery_queue(settings: Settings) -> "CeleryQueue":
    """The queue of processes that share a Redis; raises InvalidOptions without a REDIS_URL."""
    from meet_transcriber.queues.celery import CeleryQueue, make_app

    address = redis_address(settings)
    if address is None:
        raise InvalidOptions(
            "A Celery worker needs REDIS_URL, the address of the Redis that it shares with the "
            "API, such as redis://redis:6379/0. Without Redis run: meet-transcriber worker"
        )
    return CeleryQueue(make_app(address))


def open_queue(
    settings: Settings, command: Callable[[str], Sequence[str]] | None = None
) -> JobQueue:
    """
    The configured queue; `start_worker` starts the embedded worker of an API process.

    `command` returns the command that starts a worker of this id; None runs no worker.
    """
    if not settings.embedded and settings.redis_url is not None:
        return celery_queue(settings)
    if not settings.embedded or command is None:
        return embedded_queue()
    from meet_transcriber.queues.embedded import EmbeddedQueue, WorkerSupervisor

    make_data_dir(settings)
    return EmbeddedQueue(WorkerSupervisor(command, settings.data_dir / "worker.lock"))


def start_worker(queue: JobQueue, on_death: Callable[[str], None]) -> None:
    """Start the embedded worker, if any; `on_death` is called with the id of one that died."""
    from meet_transcriber.queues.embedded import EmbeddedQueue

    if isinstance(queue, EmbeddedQueue):
        queue.start(on_death)


def check_place(settings: Settings) -> None:
    """Raise InvalidOptions where jobs would be lost: on Cloud Run without Redis."""
    if os.environ.get("K_SERVICE") and settings.redis_url is None:
        raise InvalidOptions(
            "On Cloud Run an instance and its disk may vanish at any time, so jobs kept here "
            "would be lost: set REDIS_URL to a Redis that API and workers share."
        )
