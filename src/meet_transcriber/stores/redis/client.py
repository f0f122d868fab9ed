"""Talking to Redis: clients, a few quick retries, and errors in our own words."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from meet_transcriber.core.errors import StorageError, StorageFull, StorageUnavailable
from meet_transcriber.core.redis_urls import RedisAddress

T = TypeVar("T")

TIMEOUT_SECONDS = 5.0
_PAUSES_SECONDS = (0.05, 0.2, 0.5)
_MOST_CONNECTIONS = 1000
_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)


def build_client(address: RedisAddress, timeout_seconds: float = TIMEOUT_SECONDS) -> redis.Redis:
    """A client that connects when it is first used, and again after a fork or a lost line."""
    shared = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "max_connections": _MOST_CONNECTIONS,
        # Only `RedisCalls` knows which call may be repeated, so the client repeats none.
        "retry": Retry(NoBackoff(), 0),
    }
    if address.kind != "sentinel":
        return redis.Redis.from_url(address.client_url, **shared)
    ask: Any = Sentinel  # has no types
    sentinels = ask(
        address.hosts,
        sentinel_kwargs={**shared, "password": address.sentinel_password},
        username=address.username,
        password=address.password,
        db=address.db,
        **shared,
    )
    client: redis.Redis = sentinels.master_for(address.master_name)
    return client


@dataclass(slots=True)
class RedisCalls:
    """Runs calls against one Redis, with its errors translated.

    Attributes:
        place: where it is, for errors; without secrets.
        first: comes before the first call of others.
    """

    client: redis.Redis
    place: str
    first: Callable[[], None] = lambda: None
    _looked_at: bool = False

    def run(self, call: Callable[[], T]) -> T:
        """
        Make a call that may be repeated, and repeat it a few times where the line breaks.

        A server that is silent for TIMEOUT_SECONDS is not asked again: the caller has waited.

        Raises:
            StorageUnavailable: there is no answer, or the password is refused.
            StorageFull: Redis has no memory or disk left.
            StorageError: it refuses; says why.
        """
        try:
            return self._insist(call)
        except RedisError as error:
            raise self.translated(error) from error

    def _insist(self, call: Callable[[], T]) -> T:
        for pause in (*_PAUSES_SECONDS, None):
            try:
                self._look()
                return call()
            except _REFUSED:
                raise
            except RedisConnectionError:
                if pause is None:
                    raise
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - only spreads load
        raise AssertionError("the last round returns or raises")

    def _look(self) -> None:
        """Refuse a cluster once, at the first call: Celery and our scripts need one node."""
        if self._looked_at:
            return
        try:
            facts = self.client.info("cluster")
        except NoPermissionError:
            facts = {}
        if isinstance(facts, dict) and facts.get("cluster_enabled"):
            raise StorageError(
                f"The Redis at {self.place} runs in cluster mode, which job queues cannot use; "
                "set REDIS_URL to one with cluster mode disabled (a replication group, or "
                "sentinels, for high availability)."
            )
        self._looked_at = True
        try:
            self.first()
        except BaseException:
            self._looked_at = False
            raise

    def doubts(self) -> list[str]:
        """
        Sentences about settings of this Redis that may lose jobs; empty when all is well.

        Raises:
            StorageUnavailable, StorageError: as `run` does.
        """
        memory: Any = self.run(lambda: self.client.info("memory"))
        disk: Any = self.run(lambda: self.client.info("persistence"))
        found = []
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy.startswith("allkeys"):
            found.append(
                f"The Redis at {self.place} forgets jobs when its memory is full "
                f"(maxmemory-policy {policy}); set maxmemory-policy noeviction."
            )
        if disk.get("aof_enabled") == 0:
            found.append(
                f"The Redis at {self.place} may lose the latest jobs when it dies; set "
                "appendonly yes."
            )
        return found

    def translated(self, error: RedisError) -> StorageError:
        """Our error for one of the client's."""
        text = str(error)
        if isinstance(error, AuthenticationError):  # it is being changed, and soon fits again
            return StorageUnavailable(
                f"The Redis at {self.place} refused the password; set REDIS_PASSWORD, or put it "
                f"into REDIS_URL ({text})."
            )
        if isinstance(error, OutOfMemoryError):
            return StorageFull(
                f"The Redis at {self.place} has no memory left; raise its maxmemory, or delete "
                "meetings."
            )
        if text.startswith("MISCONF") or "No space left" in text:
            return StorageFull(f"The Redis at {self.place} cannot write to its disk: {text}")
        passing = (RedisConnectionError, RedisTimeoutError, ReadOnlyError)
        if isinstance(error, passing) and not isinstance(error, _REFUSED):
            return StorageUnavailable(f"The Redis at {self.place} does not answer: {text}")
        verb = "refused" if isinstance(error, ResponseError) else "could not be asked"
        return StorageError(f"The Redis at {self.place} {verb}: {text}")


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
