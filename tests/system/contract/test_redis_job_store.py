"""The contract of job stores over a real Redis."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from meet_transcriber.core.auth import ApiKey, AuditQuery
from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.stores.redis.api_keys import RedisKeyStore, RedisTrail
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


class Lossy(redis.Redis):
    """A client that loses the response to the first script that it runs."""

    lost = 0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        answer = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        if args[0] == "EVALSHA" and not self.lost:
            self.lost = 1
            raise redis.ConnectionError("lost")
        return answer


def test_a_change_of_a_key_whose_response_is_lost_is_not_repeated(
    redis_server: RedisServer,
) -> None:
    client: Any = Lossy
    with client.from_url(redis_server.url) as lossy:
        keys = RedisKeyStore(RedisCalls(lossy, "here"), Keys(uuid.uuid4().hex))
        keys.put_key(ApiKey("aa", "ci", "d" * 64, "acme", ("read",), 100.0))
        with pytest.raises(StorageUnavailable, match="unknown"):
            keys.change_key("aa", lambda old: replace(old, name=f"{old.name}+"))
        found = keys.find_key("aa")
        assert (found and found.name, lossy.lost) == ("ci+", 1)
