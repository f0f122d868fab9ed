"""Redis indexes of another schema version: rebuilt when older, refused when newer."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import redis as client

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.stores.base import load
from meet_transcriber.stores.redis.jobs import SCHEMA, RedisJobStore
from tests.contract.job_samples import job
from tests.redis_server import RedisServer


def open_store(server: RedisServer) -> RedisJobStore:
    return RedisJobStore(parse_redis_url(server.url))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "new-redis") as server:
        yield server


def test_several_processes_may_upgrade_at_once(redis: RedisServer) -> None:
    with closing(client.Redis.from_url(redis.url)) as raw, closing(open_store(redis)) as store:
        made = store.create(job())
        raw.delete("mt:schema", "mt:listed:")
    stores = [open_store(redis) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(RedisJobStore.ping, stores))
    assert [store.page(JobQuery(tenant="")) for store in stores] == [[made]] * 4
    for each in stores:
        each.close()


def test_jobs_of_a_newer_version_are_refused(redis: RedisServer) -> None:
    with closing(client.Redis.from_url(redis.url)) as raw, closing(open_store(redis)) as store:
        raw.set("mt:schema", SCHEMA + 1)
        for _ in range(2):
            with pytest.raises(StorageError, match="newer version"):
                store.ping()


def test_after_a_rollback_newer_jobs_are_found_again(redis: RedisServer) -> None:
    with closing(client.Redis.from_url(redis.url)) as raw, closing(open_store(redis)) as store:
        made = store.create(job())
        raw.delete("mt:listed:")  # an older version would not have written it
        assert store.page(JobQuery(tenant="")) == []
        raw.delete("mt:schema")  # what the page of operations says to do
        with closing(open_store(redis)) as again:
            assert again.page(JobQuery(tenant="")) == [made]


def test_an_unreadable_record_does_not_block_others(redis: RedisServer) -> None:
    with closing(client.Redis.from_url(redis.url)) as raw, closing(open_store(redis)) as store:
        made = store.create(job())
        raw.delete("mt:schema", "mt:listed:")
        raw.hset("mt:job:broken", mapping={"doc": "{", "version": 1})
        with closing(open_store(redis)) as again:
            assert again.page(JobQuery(tenant="")) == [made]


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    made = job()
    newer = {**to_plain(made), "of_tomorrow": {"a": 1}}
    assert load(Job, json.dumps(newer)) == made
