"""Random changes of a few jobs: a store's indexes agree with its records."""

from collections import Counter
from dataclasses import replace
from typing import Any, cast
from weakref import WeakKeyDictionary

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from meet_transcriber.core.jobs import QUEUES, Backlog, IndexEntry, Job, JobQuery, Task, index_entry
from meet_transcriber.ports.stores import JobStore
from tests.contract.job_samples import job

moments = st.integers(0, 9).map(float)
tasks = st.builds(
    Task,
    st.sampled_from(["prepare", "diarize", "recognize:0", "recognize:1"]),
    st.sampled_from(["waiting", "ready", "running", "done"]),
    lease_until=moments,
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["uploading", "pending", "processing", "completed", "failed"]),
        "tasks": st.lists(tasks, max_size=4).map(tuple),
        "created_at": moments,
        "served_at": moments,
        "lease_until": moments,
        "deleted": st.booleans(),
        "tidy_at": st.none() | st.integers(0, 100).map(float),
        "duration": st.none() | moments,
        "name": st.sampled_from(["a", "B", "ab"]),
    },
)
TENANTS = {"j1": "ann", "j2": "ann", "j3": "ben", "j4": ""}
names = st.sampled_from(sorted(TENANTS))
SERVED: WeakKeyDictionary[JobStore, dict[str, float]] = WeakKeyDictionary()


class StoreMachine(RuleBasedStateMachine):
    """Applies the same changes to a store and to a dictionary."""

    def __init__(self, store: JobStore) -> None:
        super().__init__()
        self.store = store
        self.jobs: dict[str, Job] = {}
        # of every store of these tests, as it outlives the jobs
        self.served = SERVED.setdefault(store, {})

    @rule(name=names, fields=changes)
    def create_or_change(self, name: str, fields: dict[str, Any]) -> None:
        if name in self.jobs:
            self.jobs[name] = self.store.update(name, lambda found: replace(found, **fields)).after
        else:
            self.jobs[name] = self.store.create(job(name, tenant=TENANTS[name], **fields))
        served = self.served.get(TENANTS[name], 0.0), self.jobs[name].served_at
        self.served[TENANTS[name]] = max(served)

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.store.remove(name)
        self.jobs.pop(name, None)

    @invariant()
    def work_is_found(self) -> None:
        for queues in ([QUEUES[0]], [QUEUES[1]], QUEUES):
            waiting = sorted(
                (e.order, name) for name, e in self._entries() if {*e.ready} & {*queues}
            )
            places, turns = [], Counter[str]()
            for order, name in waiting:
                tenant = TENANTS[name]
                load = self._running(tenant), self.served.get(tenant, 0.0)
                places.append((turns[tenant], load, order, name))
                turns[tenant] += 1
            assert self.store.ready(queues, 99) == [name for *_, name in sorted(places)]

    @invariant()
    def what_is_due_is_found(self) -> None:
        due = [(e.due_at, name) for name, e in self._entries() if (e.due_at or 0) <= 4.0]
        wanted = [name for moment, name in sorted(due, key=str) if moment is not None]
        assert self.store.due(4.0, 99) == wanted

    @invariant()
    def lists_are_right(self) -> None:
        for query in (JobQuery(), JobQuery(order="asc", states=["pending", "failed"], name="A")):
            wanted = sorted(filter(query.admits, self.jobs.values()), key=_by_age)
            wanted = wanted if query.order == "asc" else wanted[::-1]
            assert self.store.page(query) == wanted

    @invariant()
    def places_and_sums_are_right(self) -> None:
        entries = [entry for _, entry in self._entries()]
        assert self.store.backlog() == _backlog([entry for entry in entries if entry.active])
        pending = [e.created_at for e in entries if e.listed and e.state == "pending"]
        for each in self.jobs.values():
            before = sum(moment < each.created_at for moment in pending)
            assert self.store.count_ahead(each) == before

    def teardown(self) -> None:
        for name in self.jobs:
            self.store.remove(name)

    def _running(self, tenant: str) -> int:
        found = [entry for name, entry in self._entries() if TENANTS[name] == tenant]
        return sum(sum(entry.running.values()) for entry in found)

    def _entries(self) -> list[tuple[str, IndexEntry]]:
        return [(name, index_entry(each)) for name, each in self.jobs.items()]


def _by_age(job: Job) -> tuple[float, str]:
    return job.created_at, job.id


def _backlog(entries: list[IndexEntry]) -> Backlog:
    def total(counts: list[Any]) -> dict[str, int]:
        sums = {queue: sum(each.get(queue, 0) for each in counts) for queue in QUEUES}
        return {queue: count for queue, count in sums.items() if count}

    states = [entry.state for entry in entries]
    return Backlog(
        ready=total([entry.ready for entry in entries]),
        running=total([entry.running for entry in entries]),
        jobs={state: states.count(state) for state in states},
        seconds_left=sum(entry.seconds_left for entry in entries),
        waiting_since={
            queue: min(entry.order[1] for entry in entries if queue in entry.ready)
            for queue in QUEUES
            if any(queue in entry.ready for entry in entries)
        },
        oldest_at=min(
            (entry.created_at for entry in entries if entry.state != "uploading"), default=None
        ),
    )


def check_store(store: JobStore, examples: int = 50) -> None:
    """Run the machine on an empty store."""
    run_state_machine_as_test(
        cast(Any, lambda: StoreMachine(store)),
        settings=settings(
            max_examples=examples,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
