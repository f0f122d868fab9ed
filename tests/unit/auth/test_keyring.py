"""Making keys and sessions, and knowing them again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from meet_transcriber.auth.keyring import ApiKeyring, read_static
from meet_transcriber.core.auth import SCOPES, NewKey
from meet_transcriber.core.errors import InvalidOptions, KeyConflict, KeyNotFound, KeyRefused
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.fakes import FakeClock

HOUR = 3600.0
STATIC = "static-secret-of-an-operator"


class Ring:
    """A keyring over SQLite, with a clock that stands."""

    def __init__(self, folder: Path, static: str = "", pepper: bytes = b"pepper") -> None:
        self.now = FakeClock()
        self.store = SqliteJobStore(folder / "jobs.sqlite3")
        self.keyring = ApiKeyring(
            self.store.keys, lambda: pepper, self.now, read_static(static), self.store.set_fact_once
        )

    def key(self, expires_in: float | None = None) -> NewKey:
        until = None if expires_in is None else self.now() + expires_in
        return self.keyring.create("ci", "acme", ("read",), until)


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(KeyRefused) as raised:
        call()
    return str(raised.value)


def test_a_key_authenticates(ring: Ring) -> None:
    made = ring.key()
    found = ring.keyring.authenticate(made.token)
    assert (found.id, found.name, found.tenant, found.scopes) == (
        made.key.id, "ci", "acme", ("read",)
    )  # fmt: skip


def test_only_the_digest_of_a_key_is_stored(ring: Ring, tmp_path: Path) -> None:
    made = ring.key()
    signed_in = ring.keyring.sign_in(made.token)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (made.token, made.token.split("_", 2)[2], signed_in.token, signed_in.csrf_token):
        assert secret.encode() not in kept
    assert made.key.digest.encode() in kept


def test_other_text_is_refused_as_a_key(ring: Ring) -> None:
    token = ring.key().token
    last = "A" if token[-2] != "A" else "B"
    for wrong in ("", "x", token[:-1], token + "x", token[:-2] + last + token[-1], token.upper(),
                  "mt_000000000000_" + "x" * 43, "é\ud800", token + "x" * 9999):  # fmt: skip
        assert "is unknown" in refused(lambda wrong=wrong: ring.keyring.authenticate(wrong))  # type: ignore[misc]


def test_a_key_is_invalid_with_another_pepper(ring: Ring, tmp_path: Path) -> None:
    token = ring.key().token
    assert "is unknown" in refused(
        lambda: Ring(tmp_path, pepper=b"other").keyring.authenticate(token)
    )


def test_an_expired_key_says_so(ring: Ring) -> None:
    made = ring.key(expires_in=HOUR)
    ring.keyring.authenticate(made.token)
    ring.now.at += HOUR
    assert "expired" in refused(lambda: ring.keyring.authenticate(made.token))
    with pytest.raises(KeyConflict, match="expired"):
        ring.keyring.rotate(made.key.id)


def test_a_revoked_key_is_refused_in_every_process(ring: Ring, tmp_path: Path) -> None:
    made, elsewhere = ring.key(), Ring(tmp_path)
    elsewhere.keyring.authenticate(made.token)
    session = elsewhere.keyring.sign_in(made.token)
    ring.keyring.revoke(made.key.id)
    assert "revoked" in refused(lambda: elsewhere.keyring.authenticate(made.token))
    assert "revoked" in refused(lambda: elsewhere.keyring.resume_session(session.token))


def test_rotation_replaces_the_secret_at_once(ring: Ring) -> None:
    old = ring.key()
    session = ring.keyring.sign_in(old.token)
    new = ring.keyring.rotate(old.key.id)
    assert ring.keyring.authenticate(new.token).id == old.key.id
    refused(lambda: ring.keyring.authenticate(old.token))
    assert "has ended" in refused(lambda: ring.keyring.resume_session(session.token))


def test_the_old_secret_of_a_rotated_key_is_valid_for_the_overlap(ring: Ring) -> None:
    old = ring.key()
    new = ring.keyring.rotate(old.key.id, overlap_seconds=60.0)
    for token in (old.token, new.token):
        assert ring.keyring.authenticate(token).id == old.key.id
    ring.now.at += 60.0
    refused(lambda: ring.keyring.authenticate(old.token))
    ring.keyring.authenticate(new.token)


def test_the_last_use_is_stored_once_a_minute(ring: Ring) -> None:
    made, seen = ring.key(), set[float | None]()
    for _ in range(13):
        ring.keyring.authenticate(made.token)
        seen.add(ring.keyring.list_keys()[0].used_at)
        ring.now.at += 10.0
    assert len(seen) == 3


def test_a_session_ends_with_its_time_and_with_its_key(ring: Ring) -> None:
    long, short = ring.keyring.sign_in(ring.key().token), ring.key(expires_in=HOUR)
    brief = ring.keyring.sign_in(short.token)
    ring.now.at += HOUR
    refused(lambda: ring.keyring.resume_session(brief.token))
    assert ring.keyring.resume_session(long.token).key.name == "ci"
    ring.now.at += 11 * HOUR
    assert "has ended" in refused(lambda: ring.keyring.resume_session(long.token))


def test_a_signed_out_session_is_refused(ring: Ring) -> None:
    session = ring.keyring.sign_in(ring.key().token)
    ring.keyring.sign_out(session.token)
    assert "has ended" in refused(lambda: ring.keyring.resume_session(session.token))


def test_sessions_of_one_key_have_different_secrets(ring: Ring) -> None:
    token = ring.key().token
    one, two = ring.keyring.sign_in(token), ring.keyring.sign_in(token)
    assert len({one.token, two.token, one.csrf_token, two.csrf_token}) == 4
    assert ring.keyring.resume_session(one.token).csrf_token == one.csrf_token


def test_a_static_key_is_valid_while_it_is_configured(tmp_path: Path) -> None:
    ring = Ring(tmp_path, static=f"ops:{STATIC}:read+admin")
    key = ring.keyring.authenticate(STATIC)
    session = ring.keyring.sign_in(STATIC)
    assert (key.id, key.tenant, key.scopes, key.static) == (
        "static-ops", "ops", ("read", "admin"), True
    )  # fmt: skip
    for change in (ring.keyring.revoke, ring.keyring.rotate):
        with pytest.raises(KeyConflict, match="API_KEYS"):
            change(key.id)
    without = Ring(tmp_path).keyring
    refused(lambda: without.authenticate(STATIC))
    refused(lambda: without.resume_session(session.token))


def test_a_static_key_is_held_as_a_digest_only(tmp_path: Path) -> None:
    ring = Ring(tmp_path, static=STATIC)
    ring.keyring.authenticate(STATIC)
    ring.now.at += 100
    assert ring.keyring.list_keys()[0].used_at is not None
    assert STATIC not in repr(vars(ring.keyring))


def test_the_first_key_is_made_once_per_store(ring: Ring, tmp_path: Path) -> None:
    made = ring.keyring.create_first()
    assert made is not None
    assert (made.key.name, made.key.tenant, made.key.scopes) == ("admin", "", SCOPES)
    ring.keyring.revoke(made.key.id)
    assert ring.keyring.create_first() is Ring(tmp_path).keyring.create_first() is None


def test_there_is_no_first_key_where_there_is_a_static_one(tmp_path: Path) -> None:
    assert Ring(tmp_path, static=STATIC).keyring.create_first() is None


def test_an_unknown_key_cannot_be_changed(ring: Ring) -> None:
    for change in (ring.keyring.revoke, ring.keyring.rotate):
        with pytest.raises(KeyNotFound):
            change("nobody")


def test_a_key_needs_a_valid_name_and_a_future_expiry(ring: Ring) -> None:
    for name, tenant, until in (("a b", "", None), ("a", "a\nb", None), ("a", "", 0.0)):
        with pytest.raises(InvalidOptions):
            ring.keyring.create(name, tenant, ("read",), until)


def test_a_session_from_an_old_secret_ends_with_it(ring: Ring) -> None:
    old = ring.key()
    new = ring.keyring.rotate(old.key.id, overlap_seconds=60.0)
    stolen, own = ring.keyring.sign_in(old.token), ring.keyring.sign_in(new.token)
    ring.now.at += 59.0
    assert ring.keyring.resume_session(stolen.token).key.id == old.key.id
    ring.now.at += 2.0
    assert "has ended" in refused(lambda: ring.keyring.resume_session(stolen.token))
    assert ring.keyring.resume_session(own.token).until > ring.now() + 11 * HOUR
