"""The contract of job stores over a real Redis."""

import uuid

import pytest

from tests.contract.job_store_contract import JobStoreContract
from tests.redis_server import RedisServer


class TestRedisJobStore(JobStoreContract):
    @pytest.fixture
    def place(self, redis_server: RedisServer) -> str:
        return f"{redis_server.url}#{uuid.uuid4().hex}"
