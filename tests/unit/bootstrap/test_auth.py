"""The first key, and the secret that voices are encrypted with."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.auth.keyring import ApiKeyring
from meet_transcriber.bootstrap.auth import build_auth, first_key, sealer
from meet_transcriber.core.errors import InvalidOptions, KeyRefused, StorageError, VoicesSealed
from meet_transcriber.ports.auth import Sealer
from meet_transcriber.settings import Settings
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.fakes import FakeClock


def made(folder: Path, **settings: Any) -> Sealer:
    """The sealer of these settings."""
    usual = {"voice_profiles": "on", "data_dir": folder}
    found = sealer(Settings(_env_file=None, **{**usual, **settings}))
    assert found is not None
    return found


def test_the_first_key_is_not_lost_when_its_file_cannot_be_written(tmp_path: Path) -> None:
    store = SqliteJobStore(tmp_path / "jobs.sqlite3")
    keyring = ApiKeyring(store.keys, lambda: b"pepper", lambda: 1.0, settle=store.set_fact_once)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        first_key(Settings(_env_file=None, data_dir=tmp_path / "file"), keyring)
    made = first_key(Settings(_env_file=None, data_dir=tmp_path / "data"), keyring)
    assert made is not None
    assert made[1].read_text() == f"{made[0].token}\n"
    assert [(path.name, path.stat().st_mode & 0o777) for path in made[1].parent.iterdir()] == [
        ("admin.key", 0o600)
    ]
    store.close()


def test_by_default_there_is_no_sealer_and_no_key(tmp_path: Path) -> None:
    assert sealer(Settings(_env_file=None, data_dir=tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        sealers = list(pool.map(lambda _: made(tmp_path / "new"), range(8)))
    sealed = sealers[0].seal(b"ann", "c")
    assert {each.open(sealed, "c") for each in sealers} == {b"ann"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["voices.key"]
    assert (tmp_path / "new" / "voices.key").stat().st_mode & 0o777 == 0o600


def test_without_hard_links_there_is_still_one_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    with ThreadPoolExecutor(8) as pool:
        sealers = list(pool.map(lambda _: made(tmp_path / "new"), range(8)))
    sealed = sealers[0].seal(b"ann", "c")
    assert {each.open(sealed, "c") for each in sealers} == {b"ann"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["voices.key"]
    assert (tmp_path / "new" / "voices.key").stat().st_mode & 0o777 == 0o600


def test_a_configured_secret_is_used_without_a_file(tmp_path: Path) -> None:
    one = made(tmp_path, voice_secret="a-secret-that-is-set")
    other = made(tmp_path, voice_secret="another-secret-is-set")
    with pytest.raises(VoicesSealed):
        other.open(one.seal(b"ann", "c"), "c")
    assert list(tmp_path.iterdir()) == []


def test_machines_that_share_a_redis_need_a_secret(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptions, match="VOICE_SECRET"):
        made(tmp_path, redis_url="redis://127.0.0.1/0")


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptions, match="VOICE_SECRET is shorter"):
        made(tmp_path, voice_secret="hunter2")


def test_an_empty_key_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "voices.key").touch()
    with pytest.raises(StorageError, match=r"voices\.key does not contain a key"):
        made(tmp_path)


def test_keys_and_sessions_expire_by_the_clock_of_the_store(tmp_path: Path) -> None:
    store, clock = SqliteJobStore(tmp_path / "jobs.sqlite3"), FakeClock()  # in 1970
    keyring = build_auth(Settings(_env_file=None, data_dir=tmp_path), store, clock).keyring
    made = keyring.create("ci", "acme", ("read",), clock() + 60)
    signed_in = keyring.sign_in(made.token)
    assert clock() < signed_in.until <= clock() + 60
    clock.at += 61
    with pytest.raises(KeyRefused):
        keyring.authenticate(made.token)
    with pytest.raises(KeyRefused):
        keyring.resume_session(signed_in.token)
    store.close()
