"""How many workers, how much memory and how much disk a load takes: arithmetic and no more."""

import math
from dataclasses import dataclass

BUSY = 0.7
"""Share of the time that workers are planned to be busy; the rest is for bursts and restarts."""

API_GB, WORKER_GB, REDIS_GB, PROXY_GB = 2.0, 8.0, 0.5, 0.25
"""Memory of one container each, as compose.yaml limits it."""

WORKING_MB_AN_HOUR = 16_000 * 2 * 3600 / 1e6
"""Working audio, 16 bits at 16 kHz, before FLAC makes about half of it."""

RESULT_MB_AN_HOUR = 2.0
"""Transcript, parts and peaks of a recording; see Capacity in docs/operations.md."""


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in on a day, and how fast it is worked on.

    Attributes:
        recordings: a day.
        minutes: of an average recording.
        rtf: seconds of work of one worker for each second of a recording.
        hours: of the day in which the work is to be done.
        kept_days: how long recordings and results stay.
        kbps: kilobits that a second of an average recording takes as it comes in.
    """

    recordings: float
    minutes: float
    rtf: float
    hours: float = 24.0
    kept_days: float = 30.0
    kbps: float = 128.0

    @property
    def audio_hours(self) -> float:
        """Hours of recordings a day."""
        return self.recordings * self.minutes / 60

    @property
    def work_hours(self) -> float:
        """Hours a day that a single worker would compute."""
        return self.audio_hours * self.rtf

    @property
    def workers(self) -> int:
        """Workers that get it done in `hours`, each busy for `BUSY` of them; at least one."""
        # the rounding keeps what is a whole number from becoming the next one
        return max(1, math.ceil(round(self.work_hours / (self.hours * BUSY), 9)))

    @property
    def memory_gb(self) -> float:
        """Of all containers of one API with its Redis and proxy, and of the workers."""
        return API_GB + REDIS_GB + PROXY_GB + self.workers * WORKER_GB

    @property
    def disk_gb(self) -> float:
        """Of recordings, working audio and results in `kept_days`; weights come on top."""
        incoming = self.kbps * 3600 / 8 / 1000
        an_hour = incoming + WORKING_MB_AN_HOUR + RESULT_MB_AN_HOUR
        return self.audio_hours * self.kept_days * an_hour / 1000
