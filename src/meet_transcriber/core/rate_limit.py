"""Rate limits: rates, a caller's count, and which limits apply to a request."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` requests per `seconds`."""

    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Count:
    """The state of a caller's limit after a request.

    Attributes:
        policy: name of the limit.
        remaining: requests left in this window.
        reset_seconds: seconds until the next window begins; at least 1.
        allowed: whether the request was within the limit.
    """

    policy: str
    rate: Rate
    remaining: int
    reset_seconds: int
    allowed: bool


FAILED = "failed-auth"
"""Name of the policy for wrong keys."""

Counting = Callable[[str, Rate, str], Count]


@dataclass(frozen=True)
class Limits:
    """
    The rate limits of each caller.

    Attributes:
        hit: counts a request of a policy by a caller.
        peek: returns what `hit` would, without counting.
        quick: whether `hit` and `peek` need no network.
        requests, submits, failures: limits per caller; None means unlimited.
    """

    hit: Counting
    peek: Counting
    quick: bool = True
    requests: Rate | None = None
    submits: Rate | None = None
    failures: Rate | None = None

    @property
    def off(self) -> bool:
        """Whether there is no limit."""
        return self.requests is None and self.submits is None and self.failures is None

    def count(self, kind: str, who: str, submits: bool) -> list[Count]:
        """
        Count a request against each limit, up to the first that it exceeds.

        Args:
            kind: kind of caller, `key` or `address`; the prefix of the policy's name.
            submits: whether the request creates work.
        """
        counts: list[Count] = []
        rates = [(kind, self.requests), (f"{kind}-submit", self.submits if submits else None)]
        for policy, rate in rates:
            if rate is not None and all(each.allowed for each in counts):
                counts.append(self.hit(policy, rate, who))
        return counts

    def count_address(self, address: str, submits: bool) -> list[Count]:
        """Count a request like `count`, unless the address has sent too many wrong keys."""
        if self.failures is not None:
            failed = self.peek(FAILED, self.failures, address)
            if not failed.allowed:
                return [failed]
        return self.count("address", address, submits)

    def failed(self, address: str) -> None:
        """Count a wrong key."""
        if self.failures is not None:
            self.hit(FAILED, self.failures, address)
