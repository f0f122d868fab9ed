"""The contract of JobStore on tenants and keys; a test module per adapter inherits it."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from meet_transcriber.core.auth import ApiKey, Session, revoked, rotated
from meet_transcriber.core.errors import JobNotFound, KeyConflict, KeyNotFound, StorageError
from meet_transcriber.core.jobs import JobQuery
from meet_transcriber.ports.auth import KeyStore
from meet_transcriber.ports.stores import JobStore
from tests.contract.job_samples import job
from tests.contract.job_store_contract import Stores, _Contract


def key(key_id: str = "aa", **fields: object) -> ApiKey:
    """A valid key."""
    known = ApiKey(key_id, "ci", "d" * 64, "acme", ("submit", "read", "admin"), 100.0)
    return replace(known, **fields)  # type: ignore[arg-type]


def used_once_more(found: ApiKey) -> ApiKey:
    """A change that can be counted afterwards."""
    return replace(found, used_at=(found.used_at or 0.0) + 1.0)


class TenantsContract(_Contract):
    """Tenants are separate."""

    def test_a_list_has_one_tenants_jobs(self, store: JobStore) -> None:
        for number, tenant in enumerate(("", "acme", "acme", "acme-2")):
            store.create(job(f"j{number}", tenant=tenant, created_at=float(number)))
        found = {
            tenant: [each.id for each in store.page(JobQuery(tenant=tenant))]
            for tenant in ("", "acme", "acme-2", "acm", None)
        }
        all_jobs = ["j3", "j2", "j1", "j0"]
        assert found == {
            "": ["j0"], "acme": ["j2", "j1"], "acme-2": ["j3"], "acm": [], None: all_jobs
        }  # fmt: skip

    def test_pages_and_cursors_stay_within_a_tenant(self, store: JobStore) -> None:
        for number in range(6):
            store.create(job(f"j{number}", tenant="ab"[number % 2], created_at=float(number)))
        first = store.page(JobQuery(limit=2, tenant="b"))
        rest = store.page(JobQuery(limit=2, tenant="b", after=first[-1].id))
        assert [each.id for each in first + rest] == ["j5", "j3", "j1"]
        with pytest.raises(JobNotFound, match="j4"):
            store.page(JobQuery(tenant="b", after="j4"))

    def test_a_removed_job_is_in_no_list(self, store: JobStore) -> None:
        store.create(job("j", tenant="acme"))
        store.update("j", lambda found: replace(found, deleted=True))
        assert store.page(JobQuery(tenant="acme")) == []
        store.remove("j")
        assert store.page(JobQuery(tenant="acme")) == []

    def test_idempotency_keys_are_per_tenant(self, store: JobStore) -> None:
        made = [
            store.create(job(f"j-{tenant}", tenant=tenant, idempotency_key="k"))
            for tenant in ("", "acme", "acme2")
        ]
        assert [each.id for each in made] == ["j-", "j-acme", "j-acme2"]
        assert store.find_by_key("k", "acme") == made[1]
        assert store.find_by_key("k") == made[0]
        assert store.create(job("x", tenant="acme", idempotency_key="k")) == made[1]

    def test_a_removed_job_releases_its_idempotency_key(self, store: JobStore) -> None:
        store.create(job("a", tenant="acme", idempotency_key="k"))
        store.remove("a")
        assert store.find_by_key("k", "acme") is None

    def test_set_fact_once_keeps_the_first_value(self, stores: Stores) -> None:
        with ThreadPoolExecutor(8) as pool:
            said = set(pool.map(lambda n: stores().set_fact_once("pepper", f"v{n}"), range(8)))
        assert len(said) == 1
        assert stores().get_fact("pepper") in said


class KeysContract(_Contract):
    """Keys and sessions."""

    @pytest.fixture
    def keys(self, store: JobStore) -> KeyStore:
        return store.keys

    def test_a_key_is_found_as_it_was_put(self, stores: Stores) -> None:
        stores().keys.put_key(key(expires_at=5.0))
        assert stores().keys.find_key("aa") == key(expires_at=5.0)
        assert stores().keys.find_key("bb") is None
        assert stores().keys.find_keys(["bb", "aa"]) == [None, key(expires_at=5.0)]
        assert stores().keys.find_keys([]) == []

    def test_the_id_of_a_key_is_unique(self, keys: KeyStore) -> None:
        keys.put_key(key())
        with pytest.raises(StorageError, match="aa"):
            keys.put_key(key(name="other"))
        assert keys.all_keys() == [key()]

    def test_keys_come_in_order_of_creation(self, keys: KeyStore) -> None:
        for name, moment in (("b", 2.0), ("c", 1.0), ("a", 2.0)):
            keys.put_key(key(name, created_at=moment))
        assert [each.id for each in keys.all_keys()] == ["c", "a", "b"]

    def test_a_revoked_key_is_revoked_in_every_store_at_once(self, stores: Stores) -> None:
        stores().keys.put_key(key())
        other = stores().keys
        stores().keys.change_key("aa", partial(revoked, now=7.0))
        found = other.find_key("aa")
        assert found is not None
        assert found.revoked_at == 7.0

    def test_a_change_that_raises_leaves_the_key(self, keys: KeyStore) -> None:
        keys.put_key(key(revoked_at=1.0))
        with pytest.raises(KeyConflict):
            keys.change_key("aa", partial(rotated, digest="e", now=2.0, overlap_seconds=0.0))
        assert keys.all_keys() == [key(revoked_at=1.0)]

    def test_a_missing_key_cannot_be_changed(self, keys: KeyStore) -> None:
        with pytest.raises(KeyNotFound, match="aa"):
            keys.change_key("aa", used_once_more)

    def test_threads_lose_no_change_of_a_key(self, stores: Stores) -> None:
        shared = stores().keys
        shared.put_key(key())
        with ThreadPoolExecutor(8) as pool:
            for _ in range(40):
                pool.submit(shared.change_key, "aa", used_once_more)
        assert shared.all_keys()[0].used_at == 40.0

    def test_a_session_expires(self, keys: KeyStore) -> None:
        now = time.time()
        short, long = (
            Session(name, "aa", "d", now + left) for name, left in (("s", 0.3), ("l", 9))
        )
        keys.put_session(short, now)
        keys.put_session(long, now)
        assert keys.find_session("s", now) == short
        time.sleep(0.4)
        assert keys.find_session("s", time.time()) is None
        assert keys.find_session("l", time.time()) == long

    def test_a_dropped_session_is_not_found(self, keys: KeyStore) -> None:
        now = time.time()
        keys.put_session(Session("s", "aa", "d", now + 9), now)
        keys.drop_session("s")
        keys.drop_session("s")
        assert keys.find_session("s", now) is None


class KeyStoreContract(TenantsContract, KeysContract):
    """The whole contract."""
