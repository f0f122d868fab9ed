"""The contract of job stores over a real Redis."""

import uuid
from collections.abc import Iterator

import pytest

from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.stores.redis_jobs import RedisJobStore
from meet_transcriber.stores.redis_keys import RedisTrail
from tests.contract.audit_trail import AuditTrailContract
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
