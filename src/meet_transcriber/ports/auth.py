"""Ports for API keys, sessions, the audit trail, rate limits and the encryption of voices."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

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
    """Stores keys and sessions: digests, never secrets."""

    def put_key(self, key: ApiKey) -> None:
        """Store a new key; raises StorageError if the id exists already."""
        ...

    def find_key(self, key_id: str) -> ApiKey | None:
        """Return the current state of a key, revoked and expired ones too, or None."""
        ...

    def find_keys(self, key_ids: Sequence[str]) -> list[ApiKey | None]:
        """Return the same for several ids, in their order."""
        ...

    def change_key(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        """
        Atomically replace a key by the result of a pure function; return the new key.

        Raises:
            KeyNotFound: the key does not exist.
            TranscriptionError: the function's error; nothing was written.
        """
        ...

    def all_keys(self) -> list[ApiKey]:
        """Return all keys in order of creation."""
        ...

    def put_session(self, session: Session, now: float) -> None:
        """Store a session until it expires; delete those that expired before `now`."""
        ...

    def find_session(self, session_id: str, now: float) -> Session | None:
        """Return a session that has not expired, or None."""
        ...

    def drop_session(self, session_id: str) -> None:
        """Delete a session, if it exists."""
        ...


class Keyring(Protocol):
    """Creates API keys and authenticates callers."""

    def create(
        self, name: str, tenant: str, scopes: tuple[Scope, ...], expires_at: float | None
    ) -> NewKey:
        """Create a key; raises InvalidOptions for an invalid name or tenant."""
        ...

    def create_first(self) -> NewKey | None:
        """Create the first administrator's key, once per store; None if keys exist."""
        ...

    def rotate(self, key_id: str, overlap_seconds: float = 0.0) -> NewKey:
        """
        Replace the secret of a key.

        Raises:
            KeyNotFound: the key does not exist.
            KeyConflict: it is revoked, expired, or defined by API_KEYS.
        """
        ...

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key and its sessions at once; raises like `rotate`."""
        ...

    def list_keys(self) -> list[ApiKey]:
        """Return all keys, those of API_KEYS first."""
        ...

    def authenticate(self, token: str) -> ApiKey:
        """Return the key of a token and record its use; raises KeyRefused for an invalid one."""
        ...

    async def identify(self, token: str) -> ApiKey:
        """
        Do the same for a task of an event loop; concurrent callers share reads of the store.

        Raises:
            KeyRefused: the token is of no valid key.
            StorageError: the store cannot be read.
        """
        ...

    def sign_in(self, token: str) -> SignedIn:
        """Start a session with a key; raises like `authenticate`."""
        ...

    def resume_session(self, token: str) -> SignedIn:
        """
        Return the session of a cookie.

        Raises:
            KeyRefused: the session has expired, or its key is no longer valid.
        """
        ...

    def sign_out(self, token: str) -> None:
        """End a session, if it exists."""
        ...


class AuditTrail(Protocol):
    """An append-only log of actions."""

    def append(self, *entries: AuditEntry) -> None:
        """Write entries, in their order; raises StorageError if that fails."""
        ...

    def read_page(self, query: AuditQuery) -> AuditPage:
        """
        Return the entries that match a query, newest first.

        Raises:
            InvalidOptions: the cursor is invalid.
            StorageError: the log cannot be read.
        """
        ...


class Rate(NamedTuple):
    """`amount` requests per `seconds`."""

    amount: int
    seconds: int


class Count(NamedTuple):
    """
    The state of a caller's limit after a request.

    Attributes:
        policy: name of the limit: `key` or `address`, both also with `-submit`, or `FAILED_AUTH`.
        remaining: requests left in this window.
        reset_seconds: seconds until the next window begins; at least 1.
        allowed: whether the request was within the limit.
    """

    policy: str
    rate: Rate
    remaining: int
    reset_seconds: int
    allowed: bool


FAILED_AUTH = "failed-auth"
"""Name of the limit on wrong keys."""


class Hit(NamedTuple):
    """A request to count against one limit; `peek` only looks whether it would exceed it."""

    policy: str
    rate: Rate
    client: str
    peek: bool = False


class Window(NamedTuple):
    """The requests in a window, with the one that is counted, and the seconds that are left."""

    used: int
    left: float


class Counted(NamedTuple):
    """
    What counting one request found.

    Attributes:
        counts: of each limit, up to the first that the request exceeds.
        mark: `JobStore.mark` at this moment, where one round trip reads both; else None.
    """

    counts: list[Count]
    mark: int | None = None


NOT_COUNTED = Counted([])


class SharedCounters(Protocol):
    """Counts requests for all processes."""

    def count(self, requests: Sequence[Sequence[Hit]]) -> tuple[list[list[Window]], int | None]:
        """
        Count each request against its limits, up to the first that it exceeds.

        Returns:
            The state of these limits, and `Counted.mark`.

        Raises:
            StorageError: there is no response; perhaps they were counted.
        """
        ...


class RateLimiter(Protocol):
    """Counts requests against the limits of each caller; for the tasks of an event loop."""

    @property
    def off(self) -> bool:
        """Whether there is no limit."""
        ...

    async def count_address(
        self, address: str, submits: bool, key_id: str = ""
    ) -> tuple[Counted, Counted | None]:
        """
        Count a request against each limit of an address, up to the first that it exceeds.

        Nothing is counted for an address that has sent too many wrong keys.

        Args:
            submits: whether the request creates work.
            key_id: of a key to count as `count_key` does, if no limit of the address is exceeded.

        Returns:
            What was found for the address, and for the key where one is given.
        """
        ...

    async def count_key(self, key_id: str, address: str, submits: bool) -> Counted:
        """
        Count a request with a valid key in the same way.

        Wrong keys of the address are looked at again: of many keys that it tries at once, none
        may turn out to be right after as many wrong ones as are allowed.
        """
        ...

    async def count_failure(self, address: str) -> Counted:
        """Count a wrong key; it exceeds the limit if the caller may not learn that it is wrong."""
        ...


class Sealer(Protocol):
    """Authenticated encryption with the secret of the service."""

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt `data`; decryption requires the same `context`, such as kind and owner."""
        ...

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt; raises VoicesSealed if secret or context differ, or the data is damaged."""
        ...
