"""The contract of job stores over a real Redis."""

import uuid
from collections.abc import Iterator

import pytest

from meet_transcriber.core.auth import AuditQuery
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.stores.redis.api_keys import RedisTrail
from meet_transcriber.stores.redis.client import RedisCalls, build_client
from meet_transcriber.stores.redis.index import Keys
from meet_transcriber.stores.redis.jobs import RedisJobStore
from tests.contract.audit_trail import AuditTrailContract, entry
from tests.contract.job_store_contract import JobStoreContract
from tests.contract.key_store_contract import KeyStoreContract
from tests.redis_server import RedisServer


class TestRedisJobStore(JobStoreContract, KeyStoreContract):
    @pytest.fixture
    def place(self, redis_server: RedisServer) -> str:
        return f"{redis_server.url}#{uuid.uuid4().hex}"


class TestRedisTrail(AuditTrailContract):
    @pytest.fixture
    def trail(self, redis_server: RedisServer) -> Iterator[RedisTrail]:
        store = RedisJobStore(parse_redis_url(redis_server.url), uuid.uuid4().hex)
        yield store.trail
        store.close()

    def test_strangers_cannot_push_out_what_others_did(self, redis_server: RedisServer) -> None:
        client = build_client(parse_redis_url(redis_server.url), 10.0)
        trail = RedisTrail(RedisCalls(client, "here"), Keys(uuid.uuid4().hex), most=100)
        trail.append(entry(0, "delete", key="aa"))
        for number in range(500):
            trail.append(entry(number, "refused"))
        refused = trail.read_page(AuditQuery(limit=500, action="refused")).entries
        assert [each.key for each in trail.read_page(AuditQuery(action="delete")).entries] == ["aa"]
        assert (refused[0].at, len(refused) < 400) == (499, True)
        client.close()

    def test_pages_lead_through_both_kinds_once(self, trail: RedisTrail) -> None:
        for number in range(60):
            trail.append(entry(number, "refused", key="aa" if number % 3 else ""))
        page = trail.read_page(AuditQuery(limit=7))
        seen = list(page.entries)
        while page.after is not None:
            page = trail.read_page(AuditQuery(limit=7, after=page.after))
            seen += page.entries
        for key in ("", "aa"):
            told = [each.at for each in seen if each.key == key]
            assert told == [at for at in range(59, -1, -1) if bool(at % 3) == bool(key)]
