"""
How often somebody may ask: fixed windows, counted here or in the Redis that processes share.

Within a window exactly so many requests pass, however many come at once. Where the shared Redis
does not answer, each process counts for itself for a while: a limiter that is away neither stops
the service nor opens it.
"""

import time
from threading import Lock
from typing import Any

import limits
from limits.errors import StorageError as CounterError
from limits.storage import MemoryStorage, RedisStorage, Storage

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.rates import Count, Rate
from meet_transcriber.logs import get_logger

log = get_logger(__name__)

_ASIDE_SECONDS = 10.0
"""How long a Redis that did not answer is left alone."""


def parse_rate(text: str, setting: str) -> Rate | None:
    """
    The rate that a text such as `120/minute` or `5 per 10 seconds` names; None for none or 0.

    Raises:
        InvalidOptions: it is no rate; names the setting.
    """
    text = text.strip()
    if not text or text.partition("/")[0].strip() == "0":
        return None
    try:
        item = limits.parse(text)
    except ValueError as error:
        raise InvalidOptions(
            f"{setting} is not usable: {text!r} is no rate; write it as 120/minute, or 0 for none."
        ) from error
    return Rate(item.amount, item.get_expiry())


class Counters:
    """Counts requests per policy and caller; safe for several threads."""

    def __init__(self, redis_client: Any = None, namespace: str = "mt") -> None:
        """
        Args:
            redis_client: of the Redis that processes share, whose connections are used; None counts
                in this process.
            namespace: begins every key.
        """
        self._namespace = namespace
        self._here = MemoryStorage()
        self._lock = Lock()
        self._aside_until = 0.0
        self._shared: Storage | None = None
        if redis_client is not None:
            self._shared = RedisStorage(
                "redis://",
                connection_pool=redis_client.connection_pool,
                key_prefix=f"{namespace}:limits",
                wrap_exceptions=True,
            )

    @property
    def quick(self) -> bool:
        """Whether counting needs no network."""
        return self._shared is None

    def hit(self, policy: str, rate: Rate, who: str) -> Count:
        """Count one request."""
        return self._count(policy, rate, who, 1)

    def peek(self, policy: str, rate: Rate, who: str) -> Count:
        """Where a caller would stand after one more request; counts nothing."""
        return self._count(policy, rate, who, 0)

    def _count(self, policy: str, rate: Rate, who: str, amount: int) -> Count:
        key = f"{policy}/{rate.amount}/{rate.seconds}/{who}"
        if self._shared is not None and time.monotonic() >= self._aside_until:
            try:
                return _counted(self._shared, key, policy, rate, amount)
            except CounterError as error:
                self._aside_until = time.monotonic() + _ASIDE_SECONDS
                log.warning("limits_counted_here", error=f"Redis does not answer: {error}")
        with self._lock:  # MemoryStorage alone loses hits where a window ends
            return _counted(self._here, key, policy, rate, amount)


def _counted(storage: Storage, key: str, policy: str, rate: Rate, amount: int) -> Count:
    used = storage.incr(key, rate.seconds, amount) if amount else storage.get(key) + 1
    left = storage.get_expiry(key) - time.time()
    return Count(
        policy,
        rate,
        remaining=max(0, rate.amount - used),
        reset_seconds=max(1, min(rate.seconds, round(left + 0.5))),
        allowed=used <= rate.amount,
    )
