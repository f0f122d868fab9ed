"""Who did what to which job, when and from where: ids only, never speech."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """
    One thing that was done or refused.

    Attributes:
        at: seconds since 1970.
        action: such as `submit` or `delete`; `refused` for what was not allowed.
        key, tenant: who; empty where no key was needed or known.
        job: to which job, where there is one.
        target: to what else, such as the id of a key; of a refusal, what was asked.
        status: of the answer.
        address: where the request came from; `terminal` for a command.
        name: of the recording, where AUDIT_FILE_NAMES lets it be told.
    """

    at: float
    action: str
    key: str = ""
    tenant: str = ""
    job: str = ""
    target: str = ""
    status: int = 0
    address: str = ""
    request_id: str = ""
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """
    Which entries to read, the latest first; an empty filter takes all.

    Attributes:
        after: cursor of the page before; None begins with the latest.
        since, until: seconds since 1970, the end not included.
    """

    limit: int = 50
    after: str | None = None
    action: str = ""
    key: str = ""
    tenant: str | None = None
    job: str = ""
    since: float = 0.0
    until: float = float("inf")

    def admits(self, entry: AuditEntry) -> bool:
        """Whether an entry was asked for."""
        return (
            self.action in {"", entry.action}
            and self.key in {"", entry.key}
            and self.tenant in {None, entry.tenant}
            and self.job in {"", entry.job}
            and self.since <= entry.at < self.until
        )


@dataclass(frozen=True, slots=True)
class AuditPage:
    """
    Entries, the latest first.

    Attributes:
        after: cursor that goes on behind this page; None when there is nothing more. A page
            may be short, even empty, and still not the last: reading goes on a bounded piece
            at a time.
    """

    entries: Sequence[AuditEntry]
    after: str | None
