"""Redis clients with retries and translated errors."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, get_ident
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
_MOST_CONNECTIONS = 1000  # beyond it the client raises instead of waiting
_PASSING = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY")
_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)


def build_client(address: RedisAddress, timeout_seconds: float = TIMEOUT_SECONDS) -> redis.Redis:
    """A client that connects lazily, and reconnects after a fork or a lost connection."""
    shared = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "max_connections": _MOST_CONNECTIONS,
        # Only `RedisCalls` knows which call may be retried, so the client retries none.
        "retry": Retry(NoBackoff(), 0),
    }
    if address.kind != "sentinel":
        return redis.Redis.from_url(address.client_url, **shared)
    ask: Any = Sentinel  # untyped
    sentinels = ask(
        address.hosts,
        sentinel_kwargs=shared,
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
        place: its address for error messages, without secrets.
        first: called before the first call, which other threads wait for.
    """

    client: redis.Redis
    place: str
    first: Callable[[], None] = lambda: None
    _checked: bool = False
    _turn: Lock = field(default_factory=Lock)
    _first_in: int | None = None  # the thread that runs `first`, which makes calls of its own

    @classmethod
    def at(cls, redis_at: RedisAddress | redis.Redis) -> "RedisCalls":
        """For an address, or for a client that the caller closes."""
        if isinstance(redis_at, RedisAddress):
            return cls(build_client(redis_at), redis_at.masked)
        return cls(redis_at, "the given client")

    def run(self, call: Callable[[], T]) -> T:
        """
        Make an idempotent call, with a few retries if the connection breaks.

        A timeout is not retried: the caller has waited for TIMEOUT_SECONDS already.

        Raises:
            StorageUnavailable: there is no response, or the password is refused.
            StorageFull: Redis has no memory or disk space left.
            StorageError: Redis refuses the command.
        """
        try:
            return self._retried(call)
        except RedisError as error:
            raise self.translated(error) from error

    def run_once(self, call: Callable[[], T], what: str) -> T:
        """
        Make a call that changes something, and returns a false value where it changed nothing.

        Raises:
            StorageUnavailable: besides as in `run`, if the connection broke and the repeated call
                changed nothing: perhaps because the first one succeeded.
        """
        sent = 0

        def send() -> T:
            nonlocal sent
            sent += 1
            return call()

        done = self.run(send)
        if not done and sent > 1:
            raise StorageUnavailable(
                f"The connection to Redis at {self.place} broke while {what} was written; it is "
                "unknown whether the write succeeded."
            )
        return done

    def command(self, *command: str | float) -> Any:
        """Run one idempotent command of Redis; raises as `run` does."""
        client: Any = self.client  # untyped
        return self.run(lambda: client.execute_command(*command))

    def _retried(self, call: Callable[[], T]) -> T:
        for pause in (*_PAUSES_SECONDS, None):
            try:
                self._prepare()
                return call()
            # Subclasses of the connection error, which waiting does not mend.
            except _REFUSED:
                raise
            except RedisConnectionError:
                if pause is None:
                    raise
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - only spreads load
        raise AssertionError("the last attempt returns or raises")

    def _prepare(self) -> None:
        """Refuse cluster mode, and call `first`; once."""
        if self._checked or self._first_in == get_ident():
            return
        self._check_mode()
        with self._turn:
            if self._checked:
                return
            self._first_in = get_ident()
            try:
                self.first()
                self._checked = True
            finally:
                self._first_in = None

    def _check_mode(self) -> None:
        """Refuse cluster mode: Celery and our scripts need one node."""
        try:
            facts = self.client.info("cluster")
        # A user without access to INFO is no reason to refuse the server.
        except NoPermissionError:
            return
        if isinstance(facts, dict) and facts.get("cluster_enabled"):
            raise StorageError(
                f"The Redis at {self.place} runs in cluster mode, which job queues cannot use; "
                "set REDIS_URL to one with cluster mode disabled (a replication group, or "
                "sentinels, for high availability)."
            )

    def doubts(self) -> list[str]:
        """
        Warnings about settings of this Redis that may lose jobs.

        Raises:
            StorageUnavailable, StorageError: as `run` does.
        """
        memory: Any = self.run(lambda: self.client.info("memory"))
        disk: Any = self.run(lambda: self.client.info("persistence"))
        found = []
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy.startswith("allkeys"):
            found.append(
                f"The Redis at {self.place} evicts jobs when its memory is full "
                f"(maxmemory-policy {policy}); set maxmemory-policy noeviction."
            )
        if disk.get("aof_enabled") == 0:
            found.append(
                f"The Redis at {self.place} may lose the latest jobs when it dies; set "
                "appendonly yes."
            )
        return found

    def translated(self, error: RedisError) -> StorageError:
        """Translate an error of the client."""
        text = str(error)
        if isinstance(error, AuthenticationError):  # it may be changing at the moment
            return StorageUnavailable(
                f"The Redis at {self.place} refused the password; set REDIS_PASSWORD, or put it "
                f"into REDIS_URL ({text})."
            )
        if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in text:
            return StorageFull(
                f"The Redis at {self.place} has no memory left; raise its maxmemory, delete "
                "meetings, or set MEDIA_URL to another store."
            )
        if text.startswith("MISCONF") or "No space left" in text:
            return StorageFull(f"The Redis at {self.place} cannot write to its disk: {text}")
        passing = isinstance(error, (RedisConnectionError, RedisTimeoutError, ReadOnlyError))
        if (passing and not isinstance(error, _REFUSED)) or text.startswith(_PASSING):
            return StorageUnavailable(f"The Redis at {self.place} does not answer: {text}")
        verb = "refused" if isinstance(error, ResponseError) else "could not be asked"
        return StorageError(f"The Redis at {self.place} {verb}: {text}")


_REFRESH_SECONDS = 5.0


class RedisClock:
    """
    The time of the Redis that stores the jobs, so that setting a machine's clock affects no lease.

    Between requests it advances by this process's monotonic clock. Until Redis has responded for
    the first time, it is this machine's time.
    """

    def __init__(self, calls: RedisCalls) -> None:
        self._calls = calls
        self._client: Any = calls.client
        self._offset: float | None = None
        self._refreshed_at = -_REFRESH_SECONDS

    def __call__(self) -> float:
        if time.monotonic() - self._refreshed_at >= _REFRESH_SECONDS:
            with suppress(StorageError):
                seconds, microseconds = self._calls.run(self._client.time)
                # The time of the round trip is ignored: leases last for much longer.
                self._offset = seconds + microseconds / 1e6 - time.monotonic()
            self._refreshed_at = time.monotonic()
        return time.time() if self._offset is None else time.monotonic() + self._offset


_BUSY_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05


def until_unchanged(what: str, attempt: Callable[[], T | None]) -> T:
    """Retry an optimistic write until it succeeds, with growing pauses."""
    give_up_at = time.monotonic() + _BUSY_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while (done := attempt()) is None:
        if time.monotonic() > give_up_at:
            raise StorageUnavailable(
                f"{what} was changed concurrently for {_BUSY_SECONDS:g} seconds; try again."
            )
        time.sleep(random.uniform(0, pause))  # noqa: S311 - only spreads load
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return done
