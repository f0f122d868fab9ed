"""
Rate limits in fixed windows, counted in this process or in a shared Redis.

A limit is exact under concurrency. While the shared Redis does not respond, each process counts
by itself, so that an outage neither blocks requests nor disables the limits.
"""

import re
import time
from collections.abc import Sequence
from itertools import islice
from threading import Lock

from meet_transcriber.core.errors import InvalidOptions, StorageError
from meet_transcriber.core.executors import Batcher
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.auth import (
    FAILED_AUTH,
    NOT_COUNTED,
    Count,
    Counted,
    Hit,
    Rate,
    SharedCounters,
    Window,
)

log = get_logger(__name__)

_FALLBACK_SECONDS = 10.0
"""How long to count locally after Redis did not respond."""

_RATE = re.compile(r"(\d{1,9}) *(?:/|per) *(\d{1,9})? *([a-z]+?)s?", re.ASCII | re.IGNORECASE)
_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 2_592_000}


def parse_rate(text: str, setting: str) -> Rate | None:
    """Parse `120/minute` or `5 per 10 seconds`, None for 0; raises InvalidOptions."""
    if text.strip() in {"", "0"}:
        return None
    found = _RATE.fullmatch(text.strip())
    unit_seconds = _UNIT_SECONDS.get(found[3].lower()) if found else None
    if found is None or unit_seconds is None:
        raise InvalidOptions(
            f"{setting} is not usable: {text!r} is not a rate; use 120/minute, or 0 for unlimited."
        )
    amount, seconds = int(found[1]), int(found[2] or 1) * unit_seconds
    return Rate(amount, seconds) if amount and seconds else None


class RequestLimiter:
    """The limits of each caller; None means unlimited."""

    def __init__(
        self,
        counters: "Counters",
        requests: Rate | None = None,
        submits: Rate | None = None,
        failures: Rate | None = None,
    ) -> None:
        self._requests = requests
        self._submits = submits
        self._failures = failures
        self.off = requests is None and submits is None and failures is None
        self._counters = counters
        self._batcher = Batcher(counters.count, "limits")

    async def count_address(
        self, address: str, submits: bool, key_id: str = ""
    ) -> tuple[Counted, Counted | None]:
        hits = self._wrong_keys(address) + self._hits("address", address, submits)
        if not key_id:
            return await self._count(hits), None
        more = self._hits("key", key_id, submits)
        counts, mark = await self._count(hits + more)
        of_key = [each for each in counts if each.policy.startswith("key")]
        return Counted(counts[: len(counts) - len(of_key)]), Counted(of_key, mark)

    async def count_key(self, key_id: str, address: str, submits: bool) -> Counted:
        return await self._count(self._wrong_keys(address) + self._hits("key", key_id, submits))

    async def count_failure(self, address: str) -> Counted:
        if self._failures is None:
            return NOT_COUNTED
        return await self._count([Hit(FAILED_AUTH, self._failures, address)])

    def _wrong_keys(self, address: str) -> list[Hit]:
        if self._failures is None:
            return []
        return [Hit(FAILED_AUTH, self._failures, address, peek=True)]

    def _hits(self, kind: str, who: str, submits: bool) -> list[Hit]:
        hits = []
        if self._requests is not None:
            hits.append(Hit(kind, self._requests, who))
        if submits and self._submits is not None:
            hits.append(Hit(f"{kind}-submit", self._submits, who))
        return hits

    async def _count(self, hits: list[Hit]) -> Counted:
        if not hits:
            return NOT_COUNTED
        if self._counters.quick:
            ((counts, mark),) = self._counters.count([hits])
        else:
            counts, mark = await self._batcher.ask(hits)
        shown = [each for each in counts if each.policy != FAILED_AUTH or not each.allowed]
        return Counted(shown, mark)


class Counters:
    """
    Counts requests per policy and client; safe for several threads.

    Args:
        shared: counts for all processes; None counts in this one.
    """

    def __init__(self, shared: SharedCounters | None = None) -> None:
        self._local = _LocalWindows()
        self._local_until = 0.0
        self._shared = shared

    @property
    def quick(self) -> bool:
        """Whether counting is local, without network access."""
        return self._shared is None

    def count(self, requests: Sequence[Sequence[Hit]]) -> list[Counted]:
        """Count each request against its limits, up to the first that it exceeds."""
        if self._shared is not None and time.monotonic() >= self._local_until:
            try:
                windows, mark = self._shared.count(requests)
            except StorageError as error:
                # Not asked again with each request, which would each wait for its timeout.
                self._local_until = time.monotonic() + _FALLBACK_SECONDS
                log.warning("limits_counted_here", error=str(error))
            else:
                return [  # fewer windows than hits if a limit is exceeded
                    Counted(list(map(_count_of, hits, each)), mark)
                    for hits, each in zip(requests, windows, strict=True)
                ]
        return [Counted(self._local.count(hits)) for hits in requests]


class _LocalWindows:
    """Windows in this process: of each limit the clients with their counts, oldest window first."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, Rate], dict[str, tuple[int, float]]] = {}
        self._lock = Lock()

    def count(self, hits: Sequence[Hit]) -> list[Count]:
        counts: list[Count] = []
        with self._lock:
            for hit in hits:
                counts.append(self._count(hit, time.monotonic()))
                if not counts[-1].allowed:
                    break
        return counts

    def _count(self, hit: Hit, now: float) -> Count:
        windows = self._windows.setdefault((hit.policy, hit.rate), {})
        # two for each request, so that they are dropped faster than new ones come
        for client in [*islice(windows, 2), hit.client]:
            if client in windows and windows[client][1] <= now:
                del windows[client]
        used, end = windows.get(hit.client, (0, now + hit.rate.seconds))
        if not hit.peek:
            windows[hit.client] = used + 1, end
        return _count_of(hit, Window(used + 1, end - now))


def _count_of(hit: Hit, window: Window) -> Count:
    return Count(
        hit.policy,
        hit.rate,
        remaining=max(0, hit.rate.amount - window.used),
        reset_seconds=max(1, min(hit.rate.seconds, round(window.left + 0.5))),
        allowed=window.used <= hit.rate.amount,
    )
