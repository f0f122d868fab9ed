"""API keys, browser sessions, callers and the audit log."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from meet_transcriber.core.errors import InvalidOptions, KeyConflict, KeyRefused

Scope = Literal["submit", "read", "admin", "monitor"]
"""
`submit`: make jobs and change them. `read`: see them. `admin`: keys and the audit log.
`monitor`: how much waits and runs, of everybody.
"""

SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("submit", "read")
OPEN_SCOPES: tuple[Scope, ...] = (*DEFAULT_SCOPES, "monitor")
"""What anybody may do where no key is asked for."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """
    What is kept of a key; times are seconds since 1970.

    Attributes:
        id: public, the middle of the key itself.
        tenant: whose jobs it makes and sees.
        digest: HMAC-SHA-256 of the key, in hex.
        expires_at: None never.
        revoked_at: None while it holds.
        used_at: when it was last seen, to the minute; None never.
        old_digest, old_until: of the key before rotation, as long as that still counts.
        static: comes from API_KEYS, so that no command can change it.
    """

    id: str
    name: str
    digest: str
    tenant: str = ""
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    used_at: float | None = None
    old_digest: str = ""
    old_until: float = 0.0
    static: bool = False

    def check(self, now: float) -> None:
        """Raise KeyRefused when the key does not hold any more."""
        if self.revoked_at is not None:
            raise KeyRefused("This API key was revoked; ask whoever runs the service for another.")
        if self.expires_at is not None and self.expires_at <= now:
            raise KeyRefused("This API key has expired; ask whoever runs the service for another.")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment at which its secret is known."""

    key: ApiKey
    token: str


@dataclass(frozen=True, slots=True)
class Session:
    """
    A browser that signed in.

    Attributes:
        id: digest of what its cookie holds.
        key_digest: of the key at sign-in; another one, by rotation, ends the session.
        until: seconds since 1970.
    """

    id: str
    key_id: str
    key_digest: str
    until: float


@dataclass(frozen=True, slots=True)
class SignedIn:
    """
    A session as its browser has it.

    Attributes:
        token: what the cookie holds.
        csrf_token: what unsafe requests repeat in a header.
    """

    key: ApiKey
    token: str
    csrf_token: str
    until: float


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for something; without a key in the modes that need none."""

    key_id: str = ""
    name: str = ""
    tenant: str = ""
    scopes: tuple[Scope, ...] = ()


def caller_of(key: ApiKey) -> Caller:
    """Who calls with this key."""
    return Caller(key.id, key.name, key.tenant, key.scopes)


def validate_name(name: str, what: str = "name") -> str:
    """
    A name of a key or tenant as it is.

    Raises:
        InvalidOptions: it has other characters than letters, digits, '.', '_' and '-'.
    """
    if not _NAME.fullmatch(name):
        raise InvalidOptions(
            f"A {what} has 1 to 64 letters, digits, '.', '_' or '-', and begins with one of the "
            "first two."
        )
    return name


def validate_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """
    Scopes by their names, each once and in their order.

    Raises:
        InvalidOptions: there is none, or one that does not exist.
    """
    wanted = set(names)
    found = tuple(scope for scope in SCOPES if scope in wanted)
    if not found or len(found) != len(wanted):
        raise InvalidOptions(f"Scopes are one or more of {', '.join(SCOPES)}.")
    return found


def revoked(key: ApiKey, now: float) -> ApiKey:
    """The key holds no more; a second time changes nothing."""
    return key if key.revoked_at is not None else replace(key, revoked_at=now)


def rotated(key: ApiKey, digest: str, now: float, overlap_seconds: float) -> ApiKey:
    """
    The key with another secret; the old one counts for `overlap_seconds` more.

    Raises:
        KeyConflict: it was revoked or has expired.
    """
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise KeyConflict("This key was revoked or has expired; make another one.")
    old, until = (key.digest, now + overlap_seconds) if overlap_seconds > 0 else ("", 0.0)
    return replace(key, digest=digest, old_digest=old, old_until=until)


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
