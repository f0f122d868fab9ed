"""How often somebody may ask for something, and where they stand."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Count:
    """Where a caller stands after a request.

    Attributes:
        policy: name of the limit.
        remaining: requests left in this window.
        reset_seconds: until the next window begins; at least 1.
        allowed: whether this request was within the limit.
    """

    policy: str
    rate: Rate
    remaining: int
    reset_seconds: int
    allowed: bool


FAILED = "failed-auth"
"""Policy for wrong keys."""

Counting = Callable[[str, Rate, str], Count]


@dataclass(frozen=True)
class Limits:
    """
    What may be asked how often.

    Attributes:
        hit: counts a request of a policy by a caller.
        peek: where a caller would stand after one more; counts nothing.
        quick: whether these two need no network.
        requests, submits, failures: of one caller; None does not limit.
    """

    hit: Counting
    peek: Counting
    quick: bool = True
    requests: Rate | None = None
    submits: Rate | None = None
    failures: Rate | None = None

    @property
    def off(self) -> bool:
        """Whether nothing is limited."""
        return self.requests is None and self.submits is None and self.failures is None

    def count(self, kind: str, who: str, submits: bool) -> list[Count]:
        """
        Count a request, until a limit is passed.

        Args:
            kind: of caller, `key` or `address`; begins the name of the policy.
            submits: whether the request makes work.
        """
        counts: list[Count] = []
        rates = [(kind, self.requests), (f"{kind}-submit", self.submits if submits else None)]
        for policy, rate in rates:
            if rate is not None and all(each.allowed for each in counts):
                counts.append(self.hit(policy, rate, who))
        return counts

    def count_address(self, address: str, submits: bool) -> list[Count]:
        """Count a request as `count` does, unless the address has tried too many wrong keys."""
        if self.failures is not None:
            failed = self.peek(FAILED, self.failures, address)
            if not failed.allowed:
                return [failed]
        return self.count("address", address, submits)

    def failed(self, address: str) -> None:
        """Count a wrong key."""
        if self.failures is not None:
            self.hit(FAILED, self.failures, address)
