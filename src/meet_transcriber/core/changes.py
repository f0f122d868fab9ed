"""What happened to jobs lately."""

from collections.abc import Sequence
from dataclasses import dataclass

CHANGES_KEPT = 10_000
"""So many changes, of everybody, can be told of afterwards at least."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a tenant's jobs since some mark.

    Attributes:
        mark: rises with every change of any job; what to ask with the next time.
        jobs: ids in order of their latest change, of jobs that were removed too.
        missed: more happened than can be told, so that all has to be looked at again.
    """

    mark: int
    jobs: tuple[str, ...] = ()
    missed: bool = False

    @classmethod
    def since(cls, since: int, mark: int, jobs: Sequence[str]) -> "Changes":
        """What a store found between two marks."""
        return cls(mark, tuple(jobs), not mark - CHANGES_KEPT <= since <= mark)
