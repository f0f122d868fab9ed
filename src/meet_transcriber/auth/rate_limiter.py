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
from meet_transcriber.core.rate_limit import Count, Rate
from meet_transcriber.observability.logging import get_logger

log = get_logger(__name__)

_ASIDE_SECONDS = 10.0
"""How long a Redis that did not answer is left alone."""

_MOST_ENDS = 10_000


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
        self._here = _Windows(MemoryStorage())
        self._lock = Lock()
        self._aside_until = 0.0
        self._shared: _Windows | None = None
        if redis_client is not None:
            storage = RedisStorage(
                "redis://",
                connection_pool=redis_client.connection_pool,
                key_prefix=f"{namespace}:limits",
                wrap_exceptions=True,
            )
            self._shared = _Windows(storage)

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
        if self._shared is not None and time.monotonic() >= self._aside_until:
            try:
                return self._shared.count(policy, rate, who, amount)
            except CounterError as error:
                self._aside_until = time.monotonic() + _ASIDE_SECONDS
                log.warning("limits_counted_here", error=f"Redis does not answer: {error}")
        with self._lock:  # MemoryStorage alone loses hits where a window ends
            return self._here.count(policy, rate, who, amount)


class _Windows:
    """Counts in one storage; remembers when windows end, as asking may cost a round trip."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._ends: dict[str, float] = {}

    def count(self, policy: str, rate: Rate, who: str, amount: int) -> Count:
        """Count one request, or none: where a caller would stand after one more."""
        key = f"{policy}/{rate.amount}/{rate.seconds}/{who}"
        used = self._storage.incr(key, rate.seconds) if amount else self._storage.get(key) + 1
        left = rate.seconds if used == 1 else self._end(key) - time.time()
        if amount and used == 1:
            self._remember(key, time.time() + rate.seconds)
        return Count(
            policy,
            rate,
            remaining=max(0, rate.amount - used),
            reset_seconds=max(1, min(rate.seconds, round(left + 0.5))),
            allowed=used <= rate.amount,
        )

    def _end(self, key: str) -> float:
        end = self._ends.get(key, 0.0)
        if end <= time.time():
            end = self._storage.get_expiry(key)
            self._remember(key, end)
        return end

    def _remember(self, key: str, end: float) -> None:
        if len(self._ends) >= _MOST_ENDS:
            self._ends.clear()
        self._ends[key] = end
