"""Ports for API keys, browser sessions, the audit trail and the encryption of personal data."""

from collections.abc import Callable
from typing import Protocol

from meet_transcriber.core.auth import (
    ApiKey,
    AuditEntry,
    AuditPage,
    AuditQuery,
    NewKey,
    Scope,
    Session,
    SignedIn,
)


class KeyStore(Protocol):
    """Keeps what is known of keys and sessions: digests, never secrets."""

    def put_key(self, key: ApiKey) -> None:
        """
        Keep a new key.

        Raises:
            StorageError: there is one of this id already.
        """
        ...

    def find_key(self, key_id: str) -> ApiKey | None:
        """A key, revoked and expired ones too; always as it is at this moment."""
        ...

    def change_key(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        """
        Replace a key by what a pure function makes of it, atomically; returns the new one.

        Raises:
            KeyNotFound: there is none.
            TranscriptionError: whatever the function raises; then nothing was written.
        """
        ...

    def all_keys(self) -> list[ApiKey]:
        """Every key, in order of creation."""
        ...

    def put_session(self, session: Session, now: float) -> None:
        """Keep a session until its end; those that are over by now are forgotten."""
        ...

    def find_session(self, session_id: str, now: float) -> Session | None:
        """A session that is not over."""
        ...

    def drop_session(self, session_id: str) -> None:
        """Forget a session; none is no error."""
        ...


class Keyring(Protocol):
    """Makes keys and knows them again."""

    def create(
        self, name: str, tenant: str, scopes: tuple[Scope, ...], expires_at: float | None
    ) -> NewKey:
        """Make a key; raises InvalidOptions for a name or tenant that is none."""
        ...

    def first(self) -> NewKey | None:
        """Make the key of the first administrator, once per store and only without any key."""
        ...

    def rotate(self, key_id: str, overlap_seconds: float = 0.0) -> NewKey:
        """
        Give a key another secret.

        Raises:
            KeyNotFound: there is none.
            KeyConflict: it was revoked, has expired, or comes from API_KEYS.
        """
        ...

    def revoke(self, key_id: str) -> ApiKey:
        """Let a key and its sessions hold no more, at once; raises as `rotate` does."""
        ...

    def keys(self) -> list[ApiKey]:
        """Every key, those of API_KEYS first."""
        ...

    def check(self, token: str) -> ApiKey:
        """
        The key that somebody shows, and note that it was used.

        Raises:
            KeyRefused: it is unknown, was revoked or has expired.
        """
        ...

    def sign_in(self, token: str) -> SignedIn:
        """Begin a session with a key; raises as `check` does."""
        ...

    def session(self, token: str) -> SignedIn:
        """
        The session whose cookie somebody shows.

        Raises:
            KeyRefused: it is over, or its key holds no more.
        """
        ...

    def sign_out(self, token: str) -> None:
        """End a session; none is no error."""
        ...


class AuditTrail(Protocol):
    """What was done, in order; nothing in it is ever changed."""

    def append(self, entry: AuditEntry) -> None:
        """Write an entry; raises StorageError where that fails."""
        ...

    def page(self, query: AuditQuery) -> AuditPage:
        """
        Entries that a query admits, the latest first.

        Raises:
            InvalidOptions: the cursor is none of ours.
            StorageError: they cannot be read.
        """
        ...


class Sealer(Protocol):
    """Encrypts with the service's secret, and notices every change."""

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt; `context` says what it is and whose, and has to be the same when opening."""
        ...

    def open(self, sealed: bytes, context: str) -> bytes:
        """
        Decrypt.

        Raises:
            VoicesSealed: another secret or context, or other bytes than were written.
        """
        ...
