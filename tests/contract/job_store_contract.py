"""The contract of JobStore; a test module per adapter inherits it.

It brings the fixtures `place` (of an empty store, as `hammer.open_store` takes it) and,
through it, `store` and `stores`.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from meet_transcriber.core.errors import JobConflict, JobNotFound, StorageError
from meet_transcriber.core.jobs import (
    CHANGES_KEPT,
    Backlog,
    Changes,
    Job,
    JobQuery,
    Task,
    Upload,
    Usage,
)
from meet_transcriber.core.transitions import claimed, deleted, submitted
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.ports.stores import JobStore
from tests.contract.hammer import open_store
from tests.contract.job_samples import job, long_job, one_more, unchanged
from tests.contract.job_store_machine import check_store

Stores = Callable[[], JobStore]


def _claimed_by(worker: str, now: float) -> Callable[[Job], Job]:
    return lambda found: claimed(found, ["recognize"], worker, now, 30.0)


class _Contract:
    @pytest.fixture
    def stores(self, place: str) -> Iterator[Stores]:
        """Opens the same store again, as another process would."""
        opened: list[JobStore] = []

        def opener() -> JobStore:
            opened.append(open_store(place))
            return opened[-1]

        yield opener
        for each in opened:
            each.close()

    @pytest.fixture
    def store(self, stores: Stores) -> JobStore:
        return stores()


class RecordsContract(_Contract):
    """Records are written completely, once, and never over each other."""

    def test_a_created_job_can_be_read(self, store: JobStore) -> None:
        made = store.create(job(name="Sitzung \ud800 会议.mp3", size_bytes=5))
        assert made == job(name="Sitzung \ud800 会议.mp3", size_bytes=5, version=1)
        assert store.get("job-1") == made

    def test_another_store_on_the_same_data_sees_it(self, stores: Stores) -> None:
        made = stores().create(job())
        assert stores().get("job-1") == made

    def test_what_is_not_there_is_said(self, store: JobStore) -> None:
        for ask in (store.get, store.version, lambda job_id: store.update(job_id, one_more)):
            with pytest.raises(JobNotFound, match="job-1"):
                ask("job-1")

    def test_an_id_is_unique(self, store: JobStore) -> None:
        store.create(job(name="first"))
        with pytest.raises(StorageError, match="job-1"):
            store.create(job(name="second"))
        assert store.get("job-1").name == "first"

    def test_the_version_rises_with_every_change(self, store: JobStore) -> None:
        made = store.create(job())
        before, changed = store.update(
            "job-1", lambda found: replace(found, name="new", version=77)
        )
        assert (before, changed.version, changed.name) == (made, 2, "new")
        assert store.version("job-1") == 2
        assert store.get("job-1") == changed

    def test_a_change_that_raises_writes_nothing(self, store: JobStore) -> None:
        made = store.create(job())
        with pytest.raises(JobConflict):
            store.update("job-1", lambda found: submitted(found, now=1.0))
        assert store.get("job-1") == made
        assert store.update("job-1", one_more).after.version == 2

    def test_a_change_that_returns_the_same_record_writes_nothing(self, store: JobStore) -> None:
        made = store.create(job())
        assert store.update("job-1", unchanged) == (made, made)
        assert store.version("job-1") == 1

    def test_a_removed_job_is_gone_with_its_key(self, store: JobStore) -> None:
        store.create(job(idempotency_key="k"))
        store.remove("job-1")
        store.remove("job-1")
        with pytest.raises(JobNotFound):
            store.get("job-1")
        assert store.find_by_key("k") is None
        assert store.ready(["cpu"], 9) == store.due(9e9, 9) == []
        assert store.page(JobQuery()) == []
        assert store.backlog() == Backlog()
        assert store.create(job(idempotency_key="k")).version == 1

    def test_a_key_belongs_to_the_first_job_made_with_it(self, store: JobStore) -> None:
        first = store.create(job("a", idempotency_key="päy 1:*"))
        assert store.create(job("b", idempotency_key="päy 1:*")) == first
        assert store.find_by_key("päy 1:*") == first
        with pytest.raises(JobNotFound):
            store.get("b")

    def test_jobs_without_a_key_do_not_conflict(self, store: JobStore) -> None:
        store.create(job("a"))
        assert store.create(job("b")).id == "b"

    def test_a_job_may_release_its_key(self, store: JobStore) -> None:
        store.create(job("a", idempotency_key="k"))
        store.update("a", lambda found: replace(found, idempotency_key=None))
        assert store.find_by_key("k") is None
        assert store.create(job("b", idempotency_key="k")).id == "b"

    def test_a_change_cannot_take_the_key_of_another_job(self, store: JobStore) -> None:
        store.create(job("a", idempotency_key="k"))
        made = store.create(job("b"))
        with pytest.raises(StorageError, match="key"):
            store.update("b", lambda found: replace(found, idempotency_key="k"))
        assert store.get("b") == made


class RacesContract(_Contract):
    """Concurrent threads and processes."""

    def test_threads_lose_no_change(self, stores: Stores) -> None:
        shared = stores()
        shared.create(job())
        with ThreadPoolExecutor(8) as pool:
            for _ in range(80):
                pool.submit(shared.update, "job-1", one_more)
        assert (shared.get("job-1").fence, shared.version("job-1")) == (80, 81)

    def test_processes_lose_no_change(self, place: str, store: JobStore) -> None:
        store.create(job())
        command = [sys.executable, "-m", "tests.contract.hammer", place, "job-1", "25"]
        running = [subprocess.Popen(command) for _ in range(4)]
        assert [process.wait(60) for process in running] == [0, 0, 0, 0]
        assert (store.get("job-1").fence, store.version("job-1")) == (100, 101)

    def test_twenty_requests_with_one_key_make_one_job(self, store: JobStore) -> None:
        with ThreadPoolExecutor(20) as pool:
            wanted = [job(f"job-{n}", idempotency_key="k") for n in range(20)]
            made = set(pool.map(lambda each: store.create(each).id, wanted))
        assert len(made) == 1
        assert [found.id for found in store.page(JobQuery())] == list(made)

    def test_a_task_is_claimed_by_one_worker(self, store: JobStore) -> None:
        store.create(long_job("job-1", tasks=5))
        with ThreadPoolExecutor(10) as pool:
            claims = [_claimed_by(worker, 1.0) for worker in "abcdefghij"]
            list(pool.map(lambda claim: store.update("job-1", claim), claims))
        tasks = store.get("job-1").tasks
        assert sorted(task.token for task in tasks) == [1, 2, 3, 4, 5]
        assert len({task.worker for task in tasks}) == 5

    def test_one_of_many_acquires_the_lock(self, store: JobStore) -> None:
        with ThreadPoolExecutor(10) as pool:
            got = pool.map(lambda who: store.lock("tend", who, 60, time.time()), "abcdefghij")
        assert sorted(got) == [False] * 9 + [True]


class IndexesContract(_Contract):
    """Indexes."""

    def test_index_and_records_agree_after_any_changes(self, store: JobStore) -> None:
        check_store(store)

    def test_the_job_served_longest_ago_is_next(self, store: JobStore) -> None:
        store.create(job("late", created_at=5.0))
        store.create(job("early", created_at=4.0))
        store.create(job("served", created_at=1.0, served_at=9.0))
        assert store.ready(["cpu"], 9) == ["early", "late", "served"]
        assert store.ready(["cpu"], 2) == ["early", "late"]

    def test_a_long_job_does_not_starve_the_others(self, store: JobStore) -> None:
        store.create(long_job("long", tasks=50))
        store.create(job("short", tasks=(Task("recognize:0"),), created_at=200.0))
        served: list[str] = []
        for now in range(300, 304):
            served += store.ready(["recognize"], 1)
            store.update(served[-1], _claimed_by("w", float(now)))
        assert served == ["long", "short", "long", "long"]

    def test_tenants_take_turns(self, store: JobStore) -> None:
        for number in range(5):
            store.create(job(f"ann-{number}", tenant="ann", created_at=float(number)))
        store.create(job("ben-0", tenant="ben", created_at=90.0))
        store.create(job("cid-0", tenant="cid", created_at=80.0))
        assert store.ready(["cpu"], 4) == ["ann-0", "cid-0", "ben-0", "ann-1"]
        store.update("ann-0", partial(replace, served_at=100.0, state="completed"))
        assert store.ready(["cpu"], 4) == ["cid-0", "ben-0", "ann-1", "ann-2"]

    def test_the_tenant_with_the_fewest_running_tasks_is_next(self, store: JobStore) -> None:
        for number in range(3):
            store.create(long_job(f"ann-{number}", tasks=2, tenant="ann"))
        store.create(long_job("ben-0", tasks=1, tenant="ben"))
        store.create(long_job("ben-1", tasks=1, tenant="ben"))
        for now, name in enumerate(("ben-0", "ann-0", "ann-1"), 300):
            store.update(name, _claimed_by("w", float(now)))
        assert store.ready(["recognize"], 2) == ["ben-1", "ann-2"]

    def test_a_removed_job_no_longer_counts_as_running(self, store: JobStore) -> None:
        store.create(long_job("ann-0", tasks=2, tenant="ann"))
        store.create(long_job("ann-1", tasks=1, tenant="ann"))
        store.create(long_job("ben-0", tasks=2, tenant="ben"))
        for now, name in enumerate(("ann-0", "ben-0"), 300):
            store.update(name, _claimed_by("w", float(now)))
        assert store.ready(["recognize"], 1) == ["ann-1"]
        store.remove("ben-0")
        store.create(long_job("ben-1", tasks=1, tenant="ben"))
        assert store.ready(["recognize"], 1) == ["ben-1"]

    def test_a_job_with_work_in_two_queues_is_listed_once(self, store: JobStore) -> None:
        store.create(job(tasks=(Task("diarize"), Task("recognize:0"))))
        assert store.ready(["recognize", "cpu"], 9) == ["job-1"]
        assert store.ready(["other"], 9) == store.ready([], 9) == []

    def test_due_jobs_are_ordered_by_time(self, store: JobStore) -> None:
        for name, moment in (("c", 30.0), ("a", 10.0), ("b", 20.0)):
            store.create(job(name, state="uploading", tasks=(), lease_until=moment))
        store.create(job("never"))
        assert store.due(20.0, 9) == ["a", "b"]
        assert store.due(99.0, 2) == ["a", "b"]
        assert store.due(9.9, 9) == []

    def test_jobs_ahead_are_pending_and_older(self, store: JobStore) -> None:
        mine = store.create(job("mine", created_at=50.0))
        store.create(job("before", created_at=40.0))
        store.create(job("working", created_at=30.0, state="processing"))
        store.create(job("deleted", created_at=20.0, deleted=True))
        store.create(job("after", created_at=60.0))
        assert store.count_ahead(mine) == 1

    def test_the_backlog_counts_ready_and_running_tasks(self, store: JobStore) -> None:
        running = (Task("recognize:0", state="running"), Task("diarize"), Task("recognize:1"))
        store.create(job("a", state="processing", tasks=running, duration=100.0, progress=0.25))
        store.create(job("b", created_at=90.0))
        store.create(job("c", state="completed", duration=50.0))
        store.create(job("d", deleted=True, duration=50.0))
        assert store.backlog() == Backlog(
            ready={"cpu": 2, "recognize": 1},
            running={"recognize": 1},
            jobs={"processing": 1, "pending": 1},
            seconds_left=75.0,
            waiting_since={"cpu": 90.0, "recognize": 100.0},
            oldest_at=90.0,
        )
        store.create(job("e", created_at=80.0, state="uploading"))
        assert store.backlog().oldest_at == 90.0

    def test_an_empty_store_has_no_backlog(self, store: JobStore) -> None:
        assert store.backlog() == Backlog()
        assert store.page(JobQuery()) == []
        assert store.workers(0.0) == []
        assert store.find_by_key("k") is None
        store.ping()


class PagesContract(_Contract):
    """Lists of jobs, a page at a time."""

    @pytest.fixture
    def listed(self, store: JobStore) -> JobStore:
        """Seven jobs, made in the order of their names; some at the same moment."""
        for number, moment in enumerate((1.0, 2.0, 2.0, 2.0, 3.5, 4.0, 5.0)):
            store.create(job(f"j{number}", created_at=moment, name=f"Straße {number}.MP3"))
        store.create(job("hidden", state="uploading"))
        return store

    def ids(self, store: JobStore, query: JobQuery) -> list[str]:
        return [found.id for found in store.page(query)]

    @pytest.mark.parametrize(("order", "names"), [("asc", "0123456"), ("desc", "6543210")])
    def test_pages_lead_through_all_jobs_once(
        self, listed: JobStore, order: str, names: str
    ) -> None:
        query, seen = JobQuery(limit=2, order="asc" if order == "asc" else "desc"), ""
        while found := self.ids(listed, query):
            seen += "".join(job_id[1:] for job_id in found)
            query = replace(query, after=found[-1])
        assert seen == names

    @pytest.mark.parametrize(("order", "rest"), [("asc", ["j4", "j5"]), ("desc", ["j2", "j1"])])
    def test_a_list_continues_after_a_deleted_job(
        self, listed: JobStore, order: str, rest: list[str]
    ) -> None:
        listed.update("j3", partial(deleted, now=0.0))
        query = JobQuery(limit=2, order="asc" if order == "asc" else "desc", after="j3")
        assert self.ids(listed, query) == rest

    def test_a_removed_job_is_no_cursor(self, listed: JobStore) -> None:
        listed.remove("j3")
        with pytest.raises(JobNotFound, match="j3"):
            listed.page(JobQuery(after="j3"))

    def test_a_page_of_nothing_is_empty(self, listed: JobStore) -> None:
        assert listed.page(JobQuery(limit=0)) == []

    def test_lists_are_filtered_by_state(self, listed: JobStore) -> None:
        listed.update("j1", lambda found: replace(found, state="completed"))
        listed.update("j2", lambda found: replace(found, state="failed"))
        assert self.ids(listed, JobQuery(states=["failed", "completed"])) == ["j2", "j1"]
        assert self.ids(listed, JobQuery(states=["uploading"])) == []

    def test_lists_are_filtered_by_a_part_of_the_name(self, listed: JobStore) -> None:
        assert self.ids(listed, JobQuery(name="STRASSE 4.m")) == ["j4"]
        assert self.ids(listed, JobQuery(name="%")) == self.ids(listed, JobQuery(name="j_")) == []

    def test_a_rare_name_is_found_among_many(self, store: JobStore) -> None:
        for number in range(450):
            name = "rare" if number % 200 == 7 else "common"
            store.create(job(f"j{number:03}", created_at=float(number), name=name))
        assert self.ids(store, JobQuery(name="RARE")) == ["j407", "j207", "j007"]
        assert self.ids(store, JobQuery(name="rare", limit=1, after="j407")) == ["j207"]


class FactsContract(_Contract):
    """Workers, locks and small facts."""

    def test_the_report_of_a_worker_expires(self, store: JobStore) -> None:
        now = time.time()
        loud = WorkerInfo("w2", ("cpu",), "working", detail="日本", progress=0.5, seen_at=now)
        quiet = replace(loud, id="w1")
        store.put_worker(loud, 60.0)
        store.put_worker(quiet, 0.4)
        assert store.workers(now) == [quiet, loud]
        time.sleep(0.5)
        assert store.workers(time.time()) == [loud]

    def test_a_worker_replaces_its_report(self, store: JobStore) -> None:
        now = time.time()
        for state in ("fetching", "ready"):
            store.put_worker(WorkerInfo("w", ("cpu",), state, seen_at=now), 60.0)
        assert [worker.state for worker in store.workers(now)] == ["ready"]

    def test_the_report_of_a_stopped_worker_is_removed(self, store: JobStore) -> None:
        store.put_worker(WorkerInfo("w", ("cpu",), "ready", seen_at=time.time()), 60.0)
        store.remove_worker("w")
        store.remove_worker("w")
        assert store.workers(time.time()) == []

    def test_a_lock_has_one_holder_who_may_keep_it(self, store: JobStore) -> None:
        now = time.time()
        assert store.lock("tend", "a", 60.0, now)
        assert not store.lock("tend", "b", 60.0, now)
        assert store.lock("tend", "a", 60.0, now)
        assert store.lock("other", "b", 60.0, now)

    def test_a_caller_with_an_earlier_time_takes_no_lock(self, store: JobStore) -> None:
        now = time.time()
        assert store.lock("tend", "a", 60.0, now)
        assert not store.lock("tend", "b", 60.0, now - 0.5)

    def test_a_lock_expires(self, store: JobStore) -> None:
        assert store.lock("tend", "a", 0.4, time.time())
        time.sleep(0.5)
        assert store.lock("tend", "b", 60.0, time.time())
        assert not store.lock("tend", "a", 60.0, time.time())

    def test_a_holder_extends_its_lock(self, store: JobStore) -> None:
        assert store.lock("tend", "a", 0.4, time.time())
        assert store.lock("tend", "a", 60.0, time.time())
        time.sleep(0.5)
        assert not store.lock("tend", "b", 60.0, time.time())

    def test_a_lost_lock_cannot_be_extended_even_if_it_is_free(self, store: JobStore) -> None:
        assert store.lock("tend", "a", 0.4, time.time())
        assert store.extend_lock("tend", "a", 0.4, time.time())
        time.sleep(0.5)
        assert store.lock("tend", "b", 60.0, time.time())
        assert not store.extend_lock("tend", "a", 60.0, time.time())
        store.unlock("tend", "b")
        assert not store.extend_lock("tend", "a", 60.0, time.time())
        assert store.lock("tend", "c", 60.0, time.time())

    def test_only_its_holder_releases_a_lock(self, store: JobStore) -> None:
        now = time.time()
        assert store.lock("tend", "a", 60.0, now)
        store.unlock("tend", "b")
        assert not store.lock("tend", "b", 60.0, now)
        store.unlock("tend", "a")
        store.unlock("tend", "a")
        assert store.lock("tend", "b", 60.0, now)

    def test_facts_are_stored(self, stores: Stores) -> None:
        store = stores()
        assert store.get_fact("speed") is None
        store.set_fact("speed", "4.5")
        store.set_fact("speed", "5.5 ✓")
        assert stores().get_fact("speed") == "5.5 ✓"

    def test_a_closed_store_opens_again(self, store: JobStore) -> None:
        store.create(job())
        store.close()
        assert store.version("job-1") == 1


class UsageContract(_Contract):
    """The usage of a tenant agrees with the records."""

    def test_a_new_tenant_has_no_usage(self, store: JobStore) -> None:
        store.create(job(tenant="ann", size_bytes=7, duration=60.0))
        assert store.usage("ben", 0.0) == Usage()
        assert store.usage("", 0.0) == Usage()

    def test_jobs_bytes_and_seconds_are_added_up(self, store: JobStore) -> None:
        facts = {"tenant": "ann", "objects": {"recording": "r"}, "size_bytes": 7}
        for at in range(3):
            store.create(job(f"job-{at}", created_at=100.0 + at, duration=60.5, **facts))
        assert store.usage("ann", 0.0) == Usage(3, 21, 181.5, 100.0)
        assert store.usage("ann", 102.0) == Usage(3, 21, 60.5, 102.0)

    def test_an_upload_counts_before_it_has_arrived(self, store: JobStore) -> None:
        store.create(job(state="uploading", tasks=(), objects={"recording": "r"}))
        assert store.usage("", 0.0) == Usage(1)

    def test_open_uploads_are_counted(self, store: JobStore) -> None:
        for name in ("a", "b", "c"):
            store.create(
                job(name, state="uploading", tasks=(), upload=Upload(), size_bytes=7, tenant="ann")
            )
        store.create(job(state="uploading", tasks=(), objects={"recording": "r"}, tenant="ann"))
        assert store.usage("ann", 0.0) == Usage(1, 21, uploads=3)
        store.update("a", partial(deleted, now=200.0))
        store.update("b", partial(submitted, now=200.0))
        assert store.usage("ann", 0.0).uploads == 1

    def test_an_ended_job_counts_bytes_but_no_place(self, store: JobStore) -> None:
        made = store.create(job(objects={"recording": "r"}, size_bytes=7, duration=60.0))
        store.update(made.id, partial(replace, state="completed", tasks=()))
        assert store.usage("", 0.0) == Usage(0, 7, 60.0, 100.0)
        store.update(made.id, partial(replace, objects={}))
        assert store.usage("", 0.0) == Usage(0, 0, 60.0, 100.0)

    def test_audio_counts_after_its_job_is_removed(self, store: JobStore) -> None:
        made = store.create(job(objects={"recording": "r"}, size_bytes=7, duration=60.0))
        store.update(made.id, partial(deleted, now=200.0))
        assert store.usage("", 0.0) == Usage(0, 0, 60.0, 100.0)
        store.remove(made.id)
        assert store.usage("", 0.0) == Usage(0, 0, 60.0, 100.0)

    def test_a_duration_that_becomes_known_later_counts_once(self, store: JobStore) -> None:
        made = store.create(job(duration=None))
        for seconds in (60.0, 61.0, 61.0):
            store.update(made.id, partial(replace, duration=seconds, fence=int(seconds)))
        assert store.usage("", 0.0) == Usage(1, 0, 61.0, 100.0)

    def test_old_audio_is_removed(self, store: JobStore) -> None:
        store.create(job("old", created_at=100.0, duration=60.0))
        store.create(job("new", created_at=300_000.0, duration=1.0))
        assert store.usage("", 0.0) == Usage(2, 0, 1.0, 300_000.0)


class ChangesContract(_Contract):
    """The feed of changes."""

    def test_a_new_store_has_no_changes(self, store: JobStore) -> None:
        assert (store.mark(), store.changes("", 0)) == (0, Changes(0))

    def test_each_changed_job_is_listed_once_in_order_of_its_latest_change(
        self, store: JobStore
    ) -> None:
        for at in range(3):
            store.create(job(f"job-{at}"))
        middle = store.mark()
        store.update("job-0", one_more)
        store.remove("job-2")
        assert store.changes("", 0).jobs == ("job-1", "job-0", "job-2")
        assert store.changes("", middle) == Changes(store.mark(), ("job-0", "job-2"))
        assert store.changes("", store.mark()).jobs == ()

    def test_an_update_without_effect_is_not_a_change(self, store: JobStore) -> None:
        store.create(job())
        before = store.mark()
        store.update("job-1", unchanged)
        store.remove("never-made")
        assert store.mark() == before

    def test_a_tenant_sees_only_changes_of_its_jobs(self, store: JobStore) -> None:
        store.create(job("a", tenant="ann"))
        store.create(job("b", tenant="ben"))
        assert store.changes("ann", 0) == Changes(store.mark(), ("a",))

    def test_missed_changes_are_reported(self, store: JobStore) -> None:
        store.create(job())
        assert store.changes("", store.mark() + 1).missed
        assert Changes.since(0, CHANGES_KEPT, []).missed is False
        assert Changes.since(0, CHANGES_KEPT + 1, []).missed


class JobStoreContract(
    ChangesContract,
    RecordsContract,
    RacesContract,
    IndexesContract,
    PagesContract,
    FactsContract,
    UsageContract,
):
    """The whole contract."""
