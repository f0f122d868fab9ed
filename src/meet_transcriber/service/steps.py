"""Noticing that the clock was set, or that time passed unseen, before anybody loses a lease."""

from meet_transcriber.logs import get_logger
from meet_transcriber.ports.stores import Clock

log = get_logger(__name__)

_NOTED_SECONDS = 5.0
_UNSEEN_SECONDS = 6.0  # three turns of who looks


class Steps:
    """
    Compares the clock with one that cannot be set.

    After a step, and after a while in which nobody looked because the store was away, holders
    of leases get the time of one lease to renew them: they live, only the time does not fit.

    Attributes:
        ahead: seconds that the clock was set forward by and not back again. What cannot be
            taken back, such as deleting old results, waits for so much longer.
        went_back: the clock was set back; whoever acts on that puts it to False.
    """

    def __init__(self, clock: Clock, steady: Clock, lease_seconds: float) -> None:
        self._clock, self._steady, self._lease_seconds = clock, steady, lease_seconds
        self._unseen_seconds = max(lease_seconds / 2, _UNSEEN_SECONDS)
        self._seen = clock(), steady()
        self._settled_at = self._seen[1]
        self.ahead = 0.0
        self.went_back = False

    @property
    def settled(self) -> bool:
        """Whether leases that have run out have done so for want of a living holder."""
        return self._steady() >= self._settled_at

    def look(self) -> None:
        """Notice what happened since the last look."""
        clock, steady = self._clock(), self._steady()
        passed = steady - self._seen[1]
        step = clock - self._seen[0] - passed
        self._seen = clock, steady
        if abs(step) > _NOTED_SECONDS:
            log.warning("clock_set", seconds=round(step))
            self.ahead = max(self.ahead + step, 0.0)
            self.went_back = self.went_back or step < 0
        elif passed < self._unseen_seconds or self._clock is self._steady:
            return
        self._settled_at = steady + self._lease_seconds
