"""Examines recordings at the decoder's places, which tenants share fairly."""

import time
from collections import deque
from concurrent.futures import CancelledError
from typing import BinaryIO

from meet_transcriber.core.errors import DecoderStopped, RateLimited, StorageUnavailable
from meet_transcriber.core.executors import STOPPING, FairExecutor
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.ports.engines import AudioProber
from meet_transcriber.ports.stores import Clock

PLACES = 4
"""Probes at once where the decoder does not say how many it has places for."""

MOST_STOPPED = 5
"""Probes of a tenant that may be stopped within STOPPED_SECONDS; more are refused."""

STOPPED_SECONDS = 60.0


class Probes:
    """
    The probes of one process.

    A sender decides how long a probe of its recording takes, up to the decoder's limits. So a
    tenant has at most half of the places, tenants take turns, and one whose probes had to be
    stopped waits for a while.
    """

    def __init__(self, places: int = PLACES, clock: Clock = time.monotonic) -> None:
        self.executor = FairExecutor(places, "probe")
        self._clock = clock
        self._stopped: dict[str, deque[float]] = {}

    def probe(self, tenant: str, prober: AudioProber, media: BinaryIO) -> MediaInfo:
        """
        Probe a recording of a tenant when its turn comes.

        Raises:
            RateLimited: too many of the tenant's probes were stopped lately.
            InvalidAudio: as `AudioProber.probe` does.
            StorageUnavailable: the process stops.
        """
        self._check(tenant)
        try:
            return self.executor.submit(tenant, prober.probe, media).result()
        except CancelledError:
            raise StorageUnavailable(STOPPING) from None
        except DecoderStopped:
            self._stopped.setdefault(tenant, deque(maxlen=MOST_STOPPED)).append(self._clock())
            raise

    def _check(self, tenant: str) -> None:
        stopped = self._stopped.get(tenant)
        if stopped is None or len(stopped) < MOST_STOPPED:
            return
        wait = stopped[0] + STOPPED_SECONDS - self._clock()
        if wait > 0:
            raise RateLimited(
                f"Reading {MOST_STOPPED} of your recordings took so long within a minute that it "
                "was stopped; send others later.",
                wait,
            )
        del self._stopped[tenant]
