"""What older versions left goes on under this one, as they really wrote it."""

import json
import lzma
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis as client

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.stores.json_records import load
from meet_transcriber.stores.redis.jobs import SCHEMA, RedisJobStore
from tests.contract.job_samples import job
from tests.redis_server import RedisServer
from tests.simulated.house import House

OLDER = Path(__file__).parents[1] / "data" / "older"
OWNERS = {1: ["", "", ""], 2: ["", "", "acme"]}


@pytest.fixture(params=OWNERS)
def schema(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def old_redis(tmp_path: Path, schema: int) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    packed = (OLDER / f"redis-{schema}.rdb.xz").read_bytes()
    (folder / "dump.rdb").write_bytes(lzma.decompress(packed))
    with RedisServer(folder, options=["appendonly no"]) as server:
        yield server


def goes_on(house: House, owners: list[str]) -> None:
    """Everybody sees their jobs, quotas count them, and what was begun is ended."""
    jobs = house.service.context.jobs
    found = jobs.page(JobQuery(order="asc"))
    assert [job.tenant for job in found] == owners
    assert [job.state for job in found] == ["completed", "processing", "pending"]
    for tenant in set(owners):
        theirs = [job.id for job in found if job.tenant == tenant]
        assert [job.id for job in jobs.page(JobQuery(order="asc", tenant=tenant))] == theirs
        usage = jobs.usage(tenant, since=0.0)
        assert usage.jobs == sum(not job.ended for job in found if job.tenant == tenant)
    assert house.words(found[0].id)
    house.worker()
    for each in found:
        ended = house.ended(each.id)
        assert (ended.state, ended.run) == ("completed", 1)
    assert len(house.lines("recognize begins")) == 3  # one of the second job's three was done


def test_a_data_folder_goes_on(tmp_path: Path, schema: int) -> None:
    with tarfile.open(OLDER / f"data-dir-{schema}.tar.xz") as archive:
        archive.extractall(tmp_path / "data", filter="data")
    with House(tmp_path) as house:
        goes_on(house, OWNERS[schema])


def test_a_redis_goes_on(tmp_path: Path, old_redis: RedisServer, schema: int) -> None:
    with House(tmp_path, REDIS_URL=old_redis.url) as house:
        goes_on(house, OWNERS[schema])


def open_store(server: RedisServer) -> RedisJobStore:
    return RedisJobStore(parse_redis_url(server.url))


def test_several_processes_may_start_at_once(old_redis: RedisServer, schema: int) -> None:
    stores = [open_store(old_redis) for _ in range(4)]
    threads = [threading.Thread(target=store.ping) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pages = [store.page(JobQuery(order="asc", tenant="")) for store in stores]
    assert {len(page) for page in pages} == {OWNERS[schema].count("")}
    for store in stores:
        store.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "new-redis") as server:
        yield server


def test_jobs_of_a_newer_version_are_refused(redis: RedisServer) -> None:
    with closing(client.Redis.from_url(redis.url)) as raw, closing(open_store(redis)) as store:
        raw.set("mt:schema", SCHEMA + 1)
        for _ in range(2):
            with pytest.raises(StorageError, match="newer version"):
                store.ping()


def test_after_a_rollback_jobs_made_meanwhile_are_found_again(redis: RedisServer) -> None:
    with closing(client.Redis.from_url(redis.url)) as raw, closing(open_store(redis)) as store:
        made = store.create(job())
        raw.delete("mt:listed:")  # an older version would not have written it
        assert store.page(JobQuery(tenant="")) == []
        raw.delete("mt:schema")  # what the page of operations says to do
        with closing(open_store(redis)) as again:
            assert again.page(JobQuery(tenant="")) == [made]


def test_a_record_that_cannot_be_read_holds_up_nobody(redis: RedisServer) -> None:
    with closing(client.Redis.from_url(redis.url)) as raw, closing(open_store(redis)) as store:
        made = store.create(job())
        raw.delete("mt:schema", "mt:listed:")
        raw.hset("mt:job:broken", mapping={"doc": "{", "version": 1})
        with closing(open_store(redis)) as again:
            assert again.page(JobQuery(tenant="")) == [made]


def test_what_a_newer_version_adds_to_a_record_is_passed_over() -> None:
    made = job()
    newer = {**to_plain(made), "of_tomorrow": {"a": 1}}
    assert load(Job, json.dumps(newer)) == made
