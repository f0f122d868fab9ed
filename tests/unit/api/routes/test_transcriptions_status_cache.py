"""Statuses are rendered once per change, and never served after one."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from meet_transcriber.api.routes.transcriptions import Status, StatusCache
from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.service import Service
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.api.service_fixture import complete_job


@pytest.fixture(params=[True, False], ids=["inline", "in a thread"])
def cache(request: pytest.FixtureRequest, service: Service) -> StatusCache:
    return StatusCache(service.changes, quick=request.param)


def get(cache: StatusCache, service: Service, job_id: str, transcript: bool = True) -> Status:
    return asyncio.run(cache.get(service.queries, job_id, transcript))


def test_a_status_is_rendered_once(cache: StatusCache, service: Service) -> None:
    job_id = complete_job(service).id
    assert get(cache, service, job_id) is get(cache, service, job_id)
    assert get(cache, service, job_id) is not get(cache, service, job_id, transcript=False)


def test_a_change_by_another_process_is_seen_at_once(
    cache: StatusCache, service: Service, tmp_path: Path
) -> None:
    job_id, other = complete_job(service).id, complete_job(service).id
    before, untouched = get(cache, service, job_id), get(cache, service, other)
    elsewhere = SqliteJobStore(tmp_path / "jobs.sqlite3")
    elsewhere.update(job_id, lambda job: replace(job, name="new.wav"))
    after = get(cache, service, job_id)
    assert (b"new.wav" in before.body, b"new.wav" in after.body) == (False, True)
    assert get(cache, service, other) is untouched


def test_a_deleted_job_is_not_found(cache: StatusCache, service: Service) -> None:
    job_id = complete_job(service).id
    get(cache, service, job_id)
    service.commands.delete(job_id)
    with pytest.raises(JobNotFound):
        get(cache, service, job_id)


def test_the_size_of_the_cache_is_bounded(service: Service) -> None:
    job_ids = [complete_job(service).id for _ in range(3)]
    cache = StatusCache(service.changes, quick=True)
    size = len(get(cache, service, job_ids[0]).body)
    small = StatusCache(service.changes, quick=True, most_bytes=2 * size + size // 2)
    first, *_ = [get(small, service, job_id) for job_id in job_ids]
    assert get(small, service, job_ids[2]) is get(small, service, job_ids[2])
    assert get(small, service, job_ids[0]) is not first
