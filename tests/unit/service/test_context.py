"""Locks of the store."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.service.conftest import ServiceFixture


class CountingJobs(SqliteJobStore):
    """Counts how often a lock is asked for."""

    asked = 0

    def lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        self.asked += 1
        return super().lock(name, holder, seconds, now)


def test_a_thread_waits_briefly_for_a_lock_and_asks_seldom(
    fixture: ServiceFixture, tmp_path: Path
) -> None:
    jobs = CountingJobs(tmp_path / "jobs.sqlite3")
    context = replace(fixture.context, jobs=jobs)
    assert fixture.jobs.lock("admission", "other", 10.0, fixture.clock())
    started = time.thread_time()
    with pytest.raises(StorageUnavailable, match="busy"), context.locked("admission", "busy", 10.0):
        raise AssertionError("The lock is held by another.")
    assert jobs.asked < 60  # it was once every 5 ms for 15 s
    assert time.thread_time() - started < 1.0
    jobs.close()


def test_a_lock_that_another_held_meanwhile_is_lost(fixture: ServiceFixture) -> None:
    with fixture.context.locked("book", "busy", 10.0) as check_held:
        check_held()
        fixture.clock.at += 11
        assert fixture.jobs.lock("book", "other", 10.0, fixture.clock())
        fixture.jobs.unlock("book", "other")
        with pytest.raises(StorageUnavailable, match="busy"):
            check_held()


def test_a_lock_that_expired_unnoticed_is_still_held(fixture: ServiceFixture) -> None:
    with fixture.context.locked("book", "busy", 10.0) as check_held:
        fixture.clock.at += 11
        check_held()
        assert not fixture.jobs.lock("book", "other", 10.0, fixture.clock())
    assert fixture.jobs.lock("book", "other", 10.0, fixture.clock())
