"""
Rate limits in fixed windows, counted in this process or in a shared Redis.

The limit is exact under concurrency. While the shared Redis does not respond, each process counts
by itself, so that an outage neither blocks requests nor disables the limits.
"""

import time
from threading import Lock
from typing import Any

import limits
from limits.errors import StorageError as CounterError
from limits.storage import MemoryStorage, RedisStorage, Storage

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.auth import FAILED_AUTH, Count, Rate

log = get_logger(__name__)

_FALLBACK_SECONDS = 10.0
"""How long to count locally after Redis did not respond."""

_MAX_ENDS = 10_000  # bounds the memory that requests from many addresses take


def parse_rate(text: str, setting: str) -> Rate | None:
    """Parse `120/minute` or `5 per 10 seconds`, None for 0; raises InvalidOptions."""
    if text.strip() in {"", "0"}:
        return None
    try:
        item = limits.parse(text)
    except ValueError as error:
        raise InvalidOptions(
            f"{setting} is not usable: {text!r} is not a rate; use 120/minute, or 0 for unlimited."
        ) from error
    return Rate(item.amount, item.get_expiry()) if item.amount else None


class RequestLimiter:
    """The limits of each caller; None means unlimited."""

    def __init__(
        self,
        counters: "Counters",
        requests: Rate | None = None,
        submits: Rate | None = None,
        failures: Rate | None = None,
    ) -> None:
        self._counters = counters
        self._requests = requests
        self._submits = submits
        self._failures = failures
        self.quick = counters.quick
        self.off = requests is None and submits is None and failures is None

    def count_key(self, key_id: str, submits: bool) -> list[Count]:
        return self._count("key", key_id, submits)

    def count_address(self, address: str, submits: bool) -> list[Count]:
        if self._failures is not None:
            failed = self._counters.peek(FAILED_AUTH, self._failures, address)
            if not failed.allowed:
                return [failed]
        return self._count("address", address, submits)

    def count_failure(self, address: str) -> None:
        if self._failures is not None:
            self._counters.hit(FAILED_AUTH, self._failures, address)

    def _count(self, kind: str, who: str, submits: bool) -> list[Count]:
        counts: list[Count] = []
        rates = [(kind, self._requests), (f"{kind}-submit", self._submits if submits else None)]
        for policy, rate in rates:
            if rate is not None and all(each.allowed for each in counts):
                counts.append(self._counters.hit(policy, rate, who))
        return counts


class Counters:
    """
    Counts requests per policy and client; safe for several threads.

    Args:
        redis_client: of a shared Redis, whose pool is used; None counts in this process.
        namespace: prefix of every key.
    """

    def __init__(self, redis_client: Any = None, namespace: str = "mt") -> None:
        self._local = _Windows(MemoryStorage())
        self._lock = Lock()
        self._local_until = 0.0
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
        """Whether counting is local, without network access."""
        return self._shared is None

    def hit(self, policy: str, rate: Rate, client: str) -> Count:
        """Count one request."""
        return self._count(policy, rate, client, 1)

    def peek(self, policy: str, rate: Rate, client: str) -> Count:
        """The count after one more request, without counting it."""
        return self._count(policy, rate, client, 0)

    def _count(self, policy: str, rate: Rate, client: str, amount: int) -> Count:
        if self._shared is not None and time.monotonic() >= self._local_until:
            try:
                return self._shared.count(policy, rate, client, amount)
            except CounterError as error:
                self._local_until = time.monotonic() + _FALLBACK_SECONDS
                log.warning("limits_counted_here", error=f"Redis does not respond: {error}")
        with self._lock:  # MemoryStorage loses hits at the end of a window
            return self._local.count(policy, rate, client, amount)


class _Windows:
    """Counts in one storage; caches the ends of windows, as reading them costs a round trip."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._ends: dict[str, float] = {}

    def count(self, policy: str, rate: Rate, client: str, amount: int) -> Count:
        """Count `amount` requests (0 or 1); returns the count after one more."""
        key = f"{policy}/{rate.amount}/{rate.seconds}/{client}"
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
        if len(self._ends) >= _MAX_ENDS:
            self._ends.clear()
        self._ends[key] = end
