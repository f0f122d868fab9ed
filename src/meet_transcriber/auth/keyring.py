"""Creates and verifies API keys and browser sessions."""

import asyncio
import hmac
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

from meet_transcriber.core.auth import (
    DEFAULT_SCOPES,
    SCOPES,
    ApiKey,
    NewKey,
    Scope,
    Session,
    SignedIn,
    revoked,
    rotated,
    validate_name,
    validate_scopes,
)
from meet_transcriber.core.errors import (
    InvalidOptions,
    KeyConflict,
    KeyNotFound,
    KeyRefused,
    StorageError,
)
from meet_transcriber.core.executors import Batcher
from meet_transcriber.ports.auth import KeyStore

PREFIX = "mt"
MAX_CHARACTERS = 512
MIN_STATIC_CHARACTERS = 16
"""Minimum length of a key in API_KEYS."""

_SECRET_BYTES, _ID_BYTES = 32, 6


class StaticKey(NamedTuple):
    """An entry of API_KEYS."""

    name: str
    token: str
    scopes: tuple[Scope, ...]
    tenant: str


def new_id() -> str:
    """The public part of a new key."""
    return secrets.token_hex(_ID_BYTES)


def new_token(key_id: str) -> str:
    """A key: `mt_<id>_<secret>`, the secret of 256 random bits."""
    return f"{PREFIX}_{key_id}_{new_secret()}"


def new_secret() -> str:
    """256 random bits, for a pepper or a session."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def id_in(token: str) -> str | None:
    """The id in a key; None where it does not have the form of a key."""
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    plain = key_id.isascii() and key_id.isalnum()
    return key_id if prefix == PREFIX and plain and secret else None


def digest(pepper: bytes, purpose: str, token: str) -> str:
    """HMAC-SHA-256 of a text in hex; the purpose separates digests of different kinds."""
    text = f"{purpose}\0{token}".encode("utf-8", "surrogatepass")  # headers are any bytes
    return hmac.digest(pepper, text, "sha256").hex()


def same(one: str, other: str) -> bool:
    """Whether two digests are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def read_static(text: str) -> list[StaticKey]:
    """
    Parse API_KEYS: separated by commas or line breaks, each `key`, `name:key`, `name:key:scopes`
    or `name:key:scopes:tenant`, with scopes separated by `+`.

    A key without a name belongs to the unnamed tenant, any other to the tenant of its own name
    unless it names another, which may be empty.

    Raises:
        InvalidOptions: an entry is malformed; names its position, never its contents.
    """
    texts = [text.strip() for text in text.replace("\n", ",").split(",")]
    found = []
    for number, entry in enumerate(filter(None, texts), 1):
        try:
            found.append(_static(entry, number))
        except InvalidOptions as error:
            raise InvalidOptions(f"Entry {number} of API_KEYS: {error}") from None
    names = [key.name for key in found]
    if len(set(names)) != len(names):
        raise InvalidOptions("API_KEYS uses a name twice; give each key its own name.")
    return found


def _static(entry: str, number: int) -> StaticKey:
    parts = entry.split(":") if ":" in entry else [f"key-{number}", entry, "", ""]
    given = dict(zip(StaticKey._fields, parts, strict=False))
    scopes, tenant = given.get("scopes"), given.get("tenant", given["name"])
    if len(parts) > len(StaticKey._fields):
        raise InvalidOptions("It has more than three colons.")
    if not MIN_STATIC_CHARACTERS <= len(given["token"]) <= MAX_CHARACTERS:
        raise InvalidOptions(
            f"Its key needs {MIN_STATIC_CHARACTERS} to {MAX_CHARACTERS} characters."
        )
    return StaticKey(
        validate_name(given["name"]),
        given["token"],
        validate_scopes(scopes.split("+")) if scopes else DEFAULT_SCOPES,
        validate_name(tenant, "tenant") if tenant else "",
    )


SESSION_SECONDS = 12 * 3600.0
USE_SECONDS = 60.0
"""Minimum time between two updates of when a key was last used."""

_UNKNOWN = "This API key is unknown; check that it was copied completely."
_ENDED = "This session has ended; sign in again."
_STATIC = "static-"


class ApiKeyring:
    """
    Keys of a store and of API_KEYS; safe for several threads.

    Args:
        pepper: returns the secret of the digests; called when it is first needed.
        static: keys that are kept in memory only, as digests.
        settle: stores a value unless its name has one; returns the stored one.
    """

    def __init__(
        self,
        store: KeyStore,
        pepper: Callable[[], bytes],
        clock: Callable[[], float],
        static: Sequence[StaticKey] = (),
        settle: Callable[[str, str], str] = lambda _name, value: value,
    ) -> None:
        self._store = store
        self._pepper = cache(pepper)
        self._clock = clock
        self._settle = settle
        self._unread: Sequence[StaticKey] = static
        self._static: dict[str, ApiKey] = {}
        self._digested = False
        self._lock = threading.Lock()
        self._batcher = Batcher(self._find_all, "keys")

    # -- creating --------------------------------------------------------------------------

    def create(
        self,
        name: str,
        tenant: str,
        scopes: tuple[Scope, ...],
        expires_at: float | None,
        key_id: str = "",
    ) -> NewKey:
        """As in `Keyring`; `key_id` is random if empty."""
        validate_name(name)
        if tenant:
            validate_name(tenant, "tenant")
        key_id, now = key_id or new_id(), self._clock()
        if expires_at is not None and expires_at <= now:
            raise InvalidOptions("The key would have expired already; choose a later time.")
        token = new_token(key_id)
        key = ApiKey(key_id, name, self._digest(token), tenant, scopes, now, expires_at)
        self._store.put_key(key)
        return NewKey(key, token)

    def create_first(self) -> NewKey | None:
        key_id = new_id()
        # Settled by the store, so that of processes that start at once only one creates it.
        if self.list_keys() or self._settle("first_key", key_id) != key_id:
            return None  # there is one, another process creates it, or it was created and lost
        return self.create("admin", "", SCOPES, None, key_id)

    def rotate(self, key_id: str, overlap_seconds: float = 0.0) -> NewKey:
        self._refuse_static(key_id)
        token, now = new_token(key_id), self._clock()
        change = partial(
            rotated, digest=self._digest(token), now=now, overlap_seconds=overlap_seconds
        )
        return NewKey(self._store.change_key(key_id, change), token)

    def revoke(self, key_id: str) -> ApiKey:
        self._refuse_static(key_id)
        return self._store.change_key(key_id, partial(revoked, now=self._clock()))

    def list_keys(self) -> list[ApiKey]:
        return [*self._statics().values(), *self._store.all_keys()]

    def _refuse_static(self, key_id: str) -> None:
        if key_id in self._statics():
            raise KeyConflict("This key is in API_KEYS; change it there.")

    # -- verifying -------------------------------------------------------------------------

    def authenticate(self, token: str) -> ApiKey:
        (found,) = self._find_all([token])
        if isinstance(found, KeyRefused):
            raise found
        if self._is_use_due(found):
            self._record_use(found)
        return found

    async def identify(self, token: str) -> ApiKey:
        found = self._find_static(token) or await self._batcher.ask(token)
        if isinstance(found, KeyRefused):
            raise found
        if self._is_use_due(found):
            if found.static:  # known to this process only
                self._record_use(found)
            else:  # a write, for which other callers must not wait
                await asyncio.to_thread(self._record_use, found)
        return found

    def _find_all(self, tokens: Sequence[str]) -> list[ApiKey | KeyRefused]:
        """Find the keys of several tokens with one read of the store; records no use."""
        ids = [id_in(token) for token in tokens]
        wanted = list(dict.fromkeys(filter(None, ids)))
        stored = dict(zip(wanted, self._store.find_keys(wanted), strict=True)) if wanted else {}
        return [
            self._checked(token, stored.get(key_id or ""))
            for token, key_id in zip(tokens, ids, strict=True)
        ]

    def _find_static(self, token: str) -> ApiKey | None:
        """Return a key of API_KEYS without reading the store; None where it must be read."""
        # The first digest needs the pepper, which is read from the store.
        if not self._digested or id_in(token):
            return None
        found = self._checked(token, None)
        return found if isinstance(found, ApiKey) else None

    def _checked(self, token: str, stored: ApiKey | None) -> ApiKey | KeyRefused:
        """The valid key of a token, of which `stored` has its id; or why there is none."""
        key = self._match(token, stored)
        if key is None:
            return KeyRefused(_UNKNOWN)
        try:
            key.check(self._clock())
        except KeyRefused as error:
            return error
        return key

    def _match(self, token: str, stored: ApiKey | None) -> ApiKey | None:
        """The key with this secret, valid or not; in constant time."""
        presented = self._digest(token[:MAX_CHARACTERS])  # bounds the time of hashing
        found = [key for key in self._statics().values() if same(key.digest, presented)]
        # compares without a stored key too, so that timing does not reveal which ids exist
        fits = same(stored.digest if stored else presented[::-1], presented)
        if found and len(token) <= MAX_CHARACTERS:
            return found[0]
        if stored and fits:
            return stored
        if stored and self._clock() < stored.old_until and same(stored.old_digest, presented):
            return stored
        return None

    def _is_use_due(self, key: ApiKey) -> bool:
        return self._clock() - (key.used_at or 0.0) >= USE_SECONDS

    def _record_use(self, key: ApiKey) -> None:
        now = self._clock()
        if key.static:
            self._static[key.id] = replace(key, used_at=now)
            return
        with suppress(StorageError, KeyNotFound):  # no reason to refuse the request
            self._store.change_key(key.id, partial(replace, used_at=now))

    # -- sessions --------------------------------------------------------------------------

    def sign_in(self, token: str) -> SignedIn:
        key, now = self.authenticate(token), self._clock()
        secret, until = new_secret(), now + SESSION_SECONDS
        if key.expires_at is not None:
            until = min(until, key.expires_at)
        if not same(key.digest, self._digest(token)):
            until = min(until, key.old_until)  # the secret from before a rotation
        # The key's digest as it is now: rotating it ends its sessions.
        session = Session(self._digest(secret, "session"), key.id, key.digest, until)
        self._store.put_session(session, now)
        return self._session(key, secret, until)

    def resume_session(self, token: str) -> SignedIn:
        now = self._clock()
        found = self._store.find_session(self._digest(token[:MAX_CHARACTERS], "session"), now)
        if found is None:
            raise KeyRefused(_ENDED)
        key = self._statics().get(found.key_id) or self._store.find_key(found.key_id)
        if key is None or not same(key.digest, found.key_digest):
            raise KeyRefused(_ENDED)
        key.check(now)
        return self._session(key, token, found.until)

    def sign_out(self, token: str) -> None:
        self._store.drop_session(self._digest(token[:MAX_CHARACTERS], "session"))

    def _session(self, key: ApiKey, token: str, until: float) -> SignedIn:
        return SignedIn(key, token, self._digest(token, "csrf"), until)

    # -- digests ---------------------------------------------------------------------------

    def _digest(self, token: str, purpose: str = "key") -> str:
        return digest(self._pepper(), purpose, token)

    def _statics(self) -> dict[str, ApiKey]:
        """The keys of API_KEYS; their texts are dropped once they are digested."""
        with self._lock:
            for name, token, scopes, tenant in self._unread:
                digested = self._digest(token)
                known = ApiKey(f"{_STATIC}{name}", name, digested, tenant, scopes, static=True)
                self._static[known.id] = known
            self._unread = ()
            self._digested = True
        return self._static
