"""API keys as texts: how they are made, digested, and written into API_KEYS."""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from typing import NamedTuple

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.keys import EVERYDAY, Scope, checked_name, checked_scopes

PREFIX = "mt"
LONGEST = 512
SHORTEST_STATIC = 16
"""Characters that a key of API_KEYS has at least."""

_SECRET_BYTES, _ID_BYTES = 32, 6
_PARTS = 4


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
    return f"{PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def new_secret() -> str:
    """256 random bits, for a pepper or a session."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def id_in(token: str) -> str | None:
    """The id that a key names; None where it has not the form of one."""
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    plain = key_id.isascii() and key_id.isalnum()
    return key_id if prefix == PREFIX and plain and secret else None


def digest(pepper: bytes, purpose: str, token: str) -> str:
    """HMAC-SHA-256 of a text in hex; the purpose keeps digests of different things apart."""
    text = f"{purpose}\0{token}".encode("utf-8", "surrogatepass")
    return hmac.new(pepper, text, hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two digests are equal, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def read_static(text: str) -> list[StaticKey]:
    """
    The keys of API_KEYS: parted by commas or line breaks, each `key`, `name:key`,
    `name:key:scopes` or `name:key:scopes:tenant`, scopes with `+` between them.

    A key without a name belongs to the tenant without a name, any other to one of its own
    name unless it says another, which may be the one without a name.

    Raises:
        InvalidOptions: an entry makes no sense; says which, never what it holds.
    """
    entries = [entry.strip() for entry in text.replace("\n", ",").split(",")]
    found = list(_read(entry for entry in entries if entry))
    names = [key.name for key in found]
    if len(set(names)) != len(names):
        raise InvalidOptions("API_KEYS names two keys alike; give each its own name.")
    return found


def _read(entries: Iterator[str]) -> Iterator[StaticKey]:
    for number, entry in enumerate(entries, 1):
        try:
            yield _static(entry.split(":"), number)
        except ValueError as error:
            raise InvalidOptions(f"Entry {number} of API_KEYS {error}.") from None
        except InvalidOptions as error:
            raise InvalidOptions(f"Entry {number} of API_KEYS: {error}") from None


def _static(parts: list[str], number: int) -> StaticKey:
    if len(parts) == 1:
        parts = [f"key-{number}", *parts, "", ""]
    if len(parts) > _PARTS:
        raise ValueError("has more than three colons")
    name, token, scopes, tenant = [*parts, *("", parts[0])[len(parts) - 2 :]]
    if not SHORTEST_STATIC <= len(token) <= LONGEST:
        raise ValueError(f"has a key that is not {SHORTEST_STATIC} to {LONGEST} characters long")
    return StaticKey(
        checked_name(name),
        token,
        checked_scopes(scopes.split("+")) if scopes else EVERYDAY,
        checked_name(tenant, "tenant") if tenant else "",
    )
