"""API keys, browser sessions, callers and the audit log."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from meet_transcriber.core.errors import InvalidOptions, KeyConflict, KeyRefused

Scope = Literal["submit", "read", "admin", "monitor"]
"""
`submit`: create and change jobs. `read`: read them. `admin`: manage keys, read the audit log.
`monitor`: read the queue lengths of all tenants.
"""

SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("submit", "read")
OPEN_SCOPES: tuple[Scope, ...] = (*DEFAULT_SCOPES, "monitor")
"""Scopes of callers without a key, in the modes that require none."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """
    The stored part of an API key; times are seconds since 1970.

    Attributes:
        id: public identifier, the middle part of the token.
        tenant: the tenant whose jobs the key creates and reads.
        digest: HMAC-SHA-256 of the token, in hex.
        expires_at: None if it never expires.
        revoked_at: None if it is not revoked.
        used_at: last use, to the minute; None if never used.
        old_digest, old_until: digest before rotation, and until when it is still valid.
        static: defined by API_KEYS, so commands cannot change it.
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
        """Raise KeyRefused if the key is revoked or expired."""
        if self.revoked_at is not None:
            raise KeyRefused("This API key was revoked; ask the operator for a new one.")
        if self.expires_at is not None and self.expires_at <= now:
            raise KeyRefused("This API key has expired; ask the operator for a new one.")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key with its token, which is not stored."""

    key: ApiKey
    token: str


@dataclass(frozen=True, slots=True)
class Session:
    """
    A browser session.

    Attributes:
        id: digest of the token in its cookie.
        key_digest: digest of the key at sign-in; rotating the key ends the session.
        until: seconds since 1970.
    """

    id: str
    key_id: str
    key_digest: str
    until: float


@dataclass(frozen=True, slots=True)
class SignedIn:
    """
    A session as the browser sees it.

    Attributes:
        token: value of the cookie.
        csrf_token: value that unsafe requests send in a header.
    """

    key: ApiKey
    token: str
    csrf_token: str
    until: float


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller; without a key in the modes that require none."""

    key_id: str = ""
    name: str = ""
    tenant: str = ""
    scopes: tuple[Scope, ...] = ()


def caller_of(key: ApiKey) -> Caller:
    """Return the caller of a key."""
    return Caller(key.id, key.name, key.tenant, key.scopes)


def validate_name(name: str, what: str = "name") -> str:
    """Return a name of a key or tenant; raises InvalidOptions for unsafe characters."""
    if not _NAME.fullmatch(name):
        raise InvalidOptions(
            f"A {what} must have 1 to 64 letters, digits, '.', '_' or '-', and start with a letter "
            "or digit."
        )
    return name


def validate_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return scopes in canonical order; raises InvalidOptions for none or an unknown one."""
    wanted = set(names)
    found = tuple(scope for scope in SCOPES if scope in wanted)
    if not found or len(found) != len(wanted):
        raise InvalidOptions(f"Scopes must be one or more of {', '.join(SCOPES)}.")
    return found


def revoked(key: ApiKey, now: float) -> ApiKey:
    """Return the key revoked; a key that is revoked already stays unchanged."""
    return key if key.revoked_at is not None else replace(key, revoked_at=now)


def rotated(key: ApiKey, digest: str, now: float, overlap_seconds: float) -> ApiKey:
    """Return the key with a new secret; raises KeyConflict if it is revoked or expired."""
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise KeyConflict("This key was revoked or has expired; create a new one.")
    old, until = (key.digest, now + overlap_seconds) if overlap_seconds > 0 else ("", 0.0)
    return replace(key, digest=digest, old_digest=old, old_until=until)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """
    One action, completed or refused. It has ids only, never speech.

    Attributes:
        at: seconds since 1970.
        action: such as `submit` or `delete`; `refused` for a refused request.
        key, tenant: the caller; empty without a key.
        job: id of the job, if any.
        target: id of another object, such as a key; for a refusal, the requested operation.
        status: HTTP status of the response.
        address: client address; `terminal` for a command.
        name: name of the recording, if AUDIT_FILE_NAMES is on.
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
    Which entries to read, newest first; an empty filter matches all.

    Attributes:
        after: cursor of the previous page; None starts with the newest entry.
        since, until: seconds since 1970, `until` excluded.
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
        """Return whether an entry matches."""
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
    Entries, newest first.

    Attributes:
        after: cursor of the next page; None at the end. A page may be short or empty without
            being the last, since each page reads a bounded part of the log.
    """

    entries: Sequence[AuditEntry]
    after: str | None
