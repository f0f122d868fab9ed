"""Celery as the queue: a message permits a worker to claim the next ready task."""

from collections.abc import Callable
from typing import TypeVar

from celery import Celery
from kombu import Connection
from kombu.entity import Queue
from kombu.exceptions import LimitExceeded, OperationalError

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.core.redis_urls import RedisAddress

T = TypeVar("T")

TIMEOUT_SECONDS = 3.0
_REPLY_SECONDS = 10.0
_RETRY = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.3}
_VISIBILITY_SECONDS = 6 * 3600
"""When a message of a worker that vanished is delivered again.

Tasks do not depend on it, because they become ready again when their lease expires. Longer than
any task, because a superfluous message costs a query.
"""
_CHILD_START_SECONDS = 60.0


def make_app(address: RedisAddress) -> Celery:
    """A Celery application on this Redis; connects when first used."""
    app = Celery("meet_transcriber", set_as_current=False)
    app.conf.update(
        broker_url=address.broker_url,
        broker_transport_options={
            **address.broker_transport_options,
            **_RETRY,
            "visibility_timeout": _VISIBILITY_SECONDS,
            "socket_connect_timeout": TIMEOUT_SECONDS,
            "socket_timeout": _REPLY_SECONDS,
            "socket_keepalive": True,
        },
        broker_connection_timeout=TIMEOUT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_queues=[Queue(name, routing_key=name) for name in QUEUES],
        task_create_missing_queues=False,
        task_default_queue=QUEUES[-1],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_pool="prefork",
        worker_concurrency=1,  # each process loads its own models
        worker_prefetch_multiplier=1,
        # On Redis the prefetch count drifts with late acknowledgements: after days a worker may
        # reserve hundreds of messages that others could take.
        worker_disable_prefetch=True,
        worker_proc_alive_timeout=_CHILD_START_SECONDS,
        worker_redirect_stdouts=False,
    )
    return app


class CeleryQueue:
    """
    The JobQueue of API and workers that share a Redis.

    Attributes:
        app: workers register their only task with it, as `task_name`.
    """

    task_name = "meet_transcriber.work"

    def __init__(self, app: Celery, pool_seconds: float = _REPLY_SECONDS) -> None:
        """
        Args:
            pool_seconds: how long to wait for a connection while all are in use.
        """
        self.app = app
        self._pool_seconds = pool_seconds

    def notify(self, queue: str, job_id: str, task: str) -> None:
        def send(connection: Connection) -> None:
            self.app.send_task(
                self.task_name, (job_id, task), connection=connection, queue=queue,
                ignore_result=True, retry=True, retry_policy=_RETRY,
            )  # fmt: skip

        self._call(send)

    def length(self, queue: str) -> int:
        def count(connection: Connection) -> int:
            # declaring again changes nothing, and counts the lists of all priorities
            return int(connection.default_channel.queue_declare(queue).message_count)

        return self._call(count)

    def ping(self) -> None:
        self._call(lambda connection: connection.default_channel.client.ping())

    def close(self) -> None:
        self.app.close()

    def _call(self, action: Callable[[Connection], T]) -> T:
        """Use a connection of the pool; translates its errors."""
        try:
            with self.app.pool.acquire(block=True, timeout=self._pool_seconds) as connection:
                errors = *connection.connection_errors, *connection.channel_errors
                try:
                    return action(connection)
                except (OperationalError, *errors) as error:
                    raise self._unavailable(str(error)) from error
        except LimitExceeded as error:
            raise self._unavailable("all connections are in use") from error

    def _unavailable(self, reason: str) -> StorageUnavailable:
        broker = self.app.connection().as_uri()
        return StorageUnavailable(f"The broker at {broker} does not respond: {reason}")
