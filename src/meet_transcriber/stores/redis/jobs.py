"""A JobStore in Redis."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import redis

from meet_transcriber.core.errors import JobNotFound, StorageError, StorageUnavailable
from meet_transcriber.core.jobs import Backlog, Changes, Job, JobQuery, Usage, unique
from meet_transcriber.core.redis_urls import RedisAddress
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.stores import Capacity, Updated
from meet_transcriber.stores.base import dump, folded, load
from meet_transcriber.stores.redis.api_keys import RedisKeyStore, RedisTrail
from meet_transcriber.stores.redis.client import (
    RedisCalls,
    RedisClock,
    until_unchanged,
)
from meet_transcriber.stores.redis.index import (
    COMMIT,
    EXTEND,
    LOCK,
    READY,
    UNLOCK,
    USAGE,
    WORKERS,
    Command,
    Keys,
    backlog,
    in_turn,
    new_write,
    removing,
    usage,
    usage_keys,
    writing,
)

_CHUNK = 200
"""Ids read in one request."""

Place = tuple[float, bytes]
"""A job's position in lists: its time of creation, and its id."""


class PageReader:
    """Reads pages of jobs in bounded memory: a chunk of ids at a time, then matching records."""

    def __init__(self, calls: RedisCalls, keys: Keys) -> None:
        self._calls = calls
        self._client: Any = calls.client
        self._keys = keys

    def read(self, query: JobQuery) -> list[Job]:
        """A page; see `JobStore.page`."""
        place = self._place(query)
        found: list[Job] = []
        while (wanted := query.limit - len(found)) > 0:
            places = self._behind(place, query)
            if not places:
                break
            place = places[-1]
            ids = self._plausible([job_id for _, job_id in places], query)
            found += self._jobs(ids, query, wanted)
        return found

    def _place(self, query: JobQuery) -> Place | None:
        after = query.after
        if after is None:
            return None
        key = self._keys.job(after)
        created, tenant = self._calls.run(lambda: self._client.hmget(key, "created", "tenant"))
        if created is None or query.tenant not in {None, (tenant or b"").decode()}:
            raise JobNotFound(f"There is no job {after}.")
        return float(created), after.encode()

    def _behind(self, place: Place | None, query: JobQuery) -> list[Place]:
        """The next positions; jobs created at the same moment are ordered by their ids."""
        size = _CHUNK
        while True:
            rows = self._rows(place, query, size)
            places = [(score, job_id) for job_id, score in rows]
            if place is not None and query.order == "asc":
                places = [each for each in places if each > place]
            elif place is not None:
                places = [each for each in places if each < place]
            if places or len(rows) < size:
                return places
            size *= 2

    def _rows(self, place: Place | None, query: JobQuery, size: int) -> list[tuple[bytes, float]]:
        upward = query.order == "asc"
        end = "+inf" if upward else "-inf"
        start = repr(place[0]) if place else "-inf" if upward else "+inf"
        read = self._client.zrangebyscore if upward else self._client.zrevrangebyscore
        owner = () if query.tenant is None else (query.tenant,)
        rows: list[tuple[bytes, float]] = self._calls.run(
            lambda: read(self._keys.of("listed", *owner), start, end, 0, size, withscores=True)
        )
        return [(job_id, score) for job_id, score in rows]

    def _plausible(self, ids: Sequence[bytes], query: JobQuery) -> Sequence[bytes]:
        """Those that may match the query, without reading records."""
        if not query.states and not query.name:
            return ids
        part, states = folded(query.name), {state.encode() for state in query.states}
        facts = self._fields(ids, "state", "name")
        return [
            job_id
            for job_id, (state, name) in zip(ids, facts, strict=True)
            if (not states or state in states) and part in (name or b"")
        ]

    def _jobs(self, ids: Sequence[bytes], query: JobQuery, wanted: int) -> list[Job]:
        """The first of these that match the query by their current records."""
        found: list[Job] = []
        for start in range(0, len(ids), wanted):
            docs = self._fields(ids[start : start + wanted], "doc")
            jobs = [load(Job, doc) for (doc,) in docs if doc is not None]
            found += filter(query.admits, jobs)
            if len(found) >= wanted:
                break
        return found[:wanted]

    def _fields(self, ids: Sequence[bytes], *names: str) -> list[list[bytes | None]]:
        def ask() -> Any:
            with self._client.pipeline(transaction=False) as pipe:
                for job_id in ids:
                    pipe.hmget(self._keys.job(job_id.decode()), names)
                return pipe.execute()

        rows: list[list[bytes | None]] = self._calls.run(ask)
        return rows


log = get_logger(__name__)

SCHEMA = 1
"""Number of the indexes' schema."""

_SCANNED = 500


class RedisJobStore:
    """
    Stores all jobs in one Redis, for any number of threads, processes and machines.

    A record and its index change in one script if the record is unchanged since it was read; else
    the change is repeated on the new record. Durability is that of Redis (`appendonly yes`).

    Args:
        redis_at: an address, or a client that the caller closes.
        namespace: prefix of all keys, so that installations can share a Redis.
    """

    def __init__(self, redis_at: RedisAddress | redis.Redis, namespace: str = "mt") -> None:
        self._calls = RedisCalls.at(redis_at)
        self._client: Any = self._calls.client
        self._owned = isinstance(redis_at, RedisAddress)
        self._run = self._calls.command
        (
            self._commit_script,
            self._lock_script,
            self._extend_script,
            self._unlock_script,
            self._ready_script,
            self._workers_script,
            self._usage_script,
        ) = map(self._client.register_script, (COMMIT, LOCK, EXTEND, UNLOCK, READY, WORKERS, USAGE))
        self._keys = Keys(namespace)
        self._pages = PageReader(self._calls, self._keys)
        self.keys = RedisKeyStore(self._calls, self._keys)
        self.trail = RedisTrail(self._calls, self._keys)
        self.clock = RedisClock(self._calls)
        self._calls.first = self._migrate  # not here, as building a store makes no request

    # -- records -----------------------------------------------------------------------------

    def create(self, job: Job) -> Job:
        job = replace(job, version=1)
        while True:
            answer = self._write(None, job)
            # True: it was written. False: there is a record of this id. A text: the job that has
            # the key.
            if answer is True:
                return job
            if answer is False:
                raise StorageError(f"There is a job {job.id} already.")
            # Else the owner of the key was removed in between, and the key is free.
            if found := self._find(answer):
                return found

    def get(self, job_id: str) -> Job:
        found = self._find(job_id)
        if found is None:
            raise JobNotFound(f"There is no job {job_id}.")
        return found

    def version(self, job_id: str) -> int:
        version = self._run("HGET", self._keys.job(job_id), "version")
        if version is None:
            raise JobNotFound(f"There is no job {job_id}.")
        return int(version)

    def update(self, job_id: str, change: Callable[[Job], Job]) -> Updated:
        def attempt() -> Updated | None:
            old = self.get(job_id)
            new = change(old)
            if new is old:
                return Updated(old, old)
            new = replace(new, version=old.version + 1)
            answer = self._write(old, new)
            if isinstance(answer, str):
                raise StorageError(f"Another job has the idempotency key of {job_id}.")
            return Updated(old, new) if answer else None

        return until_unchanged(f"Job {job_id}", attempt)

    def remove(self, job_id: str) -> None:
        def attempt() -> bool | None:
            old = self._find(job_id)
            if old is None:
                return True
            commands = removing(self._keys, old)
            return self._commit(old, old, [self._keys.job(job_id)], "", commands) is True or None

        until_unchanged(f"Job {job_id}", attempt)

    def find_by_key(self, idempotency_key: str, tenant: str = "") -> Job | None:
        job_id = self._run("GET", self._keys.of("key", unique(tenant, idempotency_key)))
        return self._find(job_id.decode()) if job_id else None

    def _find(self, job_id: str) -> Job | None:
        doc = self._run("HGET", self._keys.job(job_id), "doc")
        return load(Job, doc) if doc else None

    def _write(self, old: Job | None, new: Job) -> bool | str:
        keys = [self._keys.job(new.id)]
        if new.unique_key is not None:
            keys.append(self._keys.of("key", new.unique_key))
        write = new_write()
        return self._commit(old, new, keys, write, writing(self._keys, old, new, write))

    def _commit(
        self, old: Job | None, new: Job, keys: list[str], write: str, commands: list[Command]
    ) -> bool | str:
        """
        Run commands if the record is still the old one; True if they were run.

        Returns the id of another job if that has the idempotency key.

        Raises:
            StorageUnavailable: the connection broke, and it is unknown whether they were run.
        """
        values: list[Any] = [str(old.version) if old else "", write, new.id]
        for command in commands:
            values += (len(command), *command)
        answer = self._calls.run_once(lambda: self._commit_script(keys, values), f"job {new.id}")
        return answer.decode() if isinstance(answer, bytes) else bool(answer)

    # -- upgrades ----------------------------------------------------------------------------

    def _migrate(self) -> None:
        """Rebuild the indexes if their schema number is missing or older; once per process."""
        schema = int(self._run("GET", self._keys.of("schema")) or 0)
        if schema > SCHEMA:
            raise StorageError(
                f"A newer version of this program wrote the jobs in Redis: they have schema "
                f"{schema}, and this version supports schemas up to {SCHEMA}. Install the newer "
                "version again, or restore the copy from before the upgrade."
            )
        if schema == SCHEMA:
            return
        prefix = self._keys.job("")
        for key in self._client.scan_iter(match=f"{prefix}*", count=_SCANNED):
            job_id = key.decode().removeprefix(prefix)
            try:
                until_unchanged(f"Job {job_id}", partial(self._index, job_id))
            except StorageUnavailable:
                raise
            except StorageError as error:
                log.warning("job_not_indexed", job_id=job_id, error=str(error))
        self._run("SET", self._keys.of("schema"), SCHEMA)

    def _index(self, job_id: str) -> bool | None:
        """Rebuild one record's index entries; None if the record changed meanwhile."""
        job, write = self._find(job_id), new_write()
        if job is None:
            return True
        commands = writing(self._keys, None, job, write)
        return self._commit(job, job, [self._keys.job(job_id)], write, commands) is True or None

    # -- indexes -----------------------------------------------------------------------------

    def ready(self, queues: Sequence[str], limit: int) -> list[str]:
        if limit <= 0 or not queues:
            return []

        prefix = self._keys.of("")
        found = self._calls.run(lambda: self._ready_script([], [prefix, limit, *queues]))
        return in_turn(found, limit)

    def due(self, now: float, limit: int) -> list[str]:
        due = ("-inf", repr(now), "BYSCORE", "LIMIT", 0, max(limit, 0))
        return [job_id.decode() for job_id in self._run("ZRANGE", self._keys.of("due"), *due)]

    def page(self, query: JobQuery) -> list[Job]:
        return self._pages.read(query)

    def count_ahead(self, job: Job) -> int:
        return int(self._run("ZCOUNT", self._keys.of("pending"), "-inf", f"({job.created_at!r}"))

    def mark(self) -> int:
        return int(self._run("GET", self._keys.of("mark")) or 0)

    def changes(self, tenant: str, since: int) -> Changes:
        def ask() -> Any:
            with self._client.pipeline() as pipe:
                # In one transaction: a change between the two reads would lie behind the mark and
                # be missed.
                pipe.get(self._keys.of("mark"))
                pipe.zrangebyscore(self._keys.of("changes", tenant), f"({since}", "+inf")
                return pipe.execute()

        mark, job_ids = self._calls.run(ask)
        return Changes.since(since, int(mark or 0), [job_id.decode() for job_id in job_ids])

    def backlog(self) -> Backlog:
        return backlog(self._run("HVALS", self._keys.of("active")))

    def usage(self, tenant: str, since: float) -> Usage:
        keys = usage_keys(self._keys, tenant)
        return usage(*self._calls.run(lambda: self._usage_script(keys, [repr(since)])))

    # -- workers, locks, facts ---------------------------------------------------------------

    def put_worker(self, worker: WorkerInfo, seconds: float) -> None:
        def note() -> None:
            with self._client.pipeline() as pipe:
                milliseconds = max(1, round(seconds * 1000))
                pipe.set(self._keys.of("worker", worker.id), dump(worker), px=milliseconds)
                pipe.sadd(self._keys.of("workers"), worker.id)
                pipe.execute()

        self._calls.run(note)

    def remove_worker(self, worker_id: str) -> None:
        self._run("DEL", self._keys.of("worker", worker_id))

    # By the clock of Redis, because those of workers may differ.

    def workers(self, now: float) -> list[WorkerInfo]:  # noqa: ARG002
        ids, prefix = self._keys.of("workers"), self._keys.of("worker", "")
        docs = self._calls.run(lambda: self._workers_script([ids], [prefix]))
        return sorted((load(WorkerInfo, doc) for doc in docs), key=lambda worker: worker.id)

    def lock(self, name: str, holder: str, seconds: float, now: float) -> bool:  # noqa: ARG002
        keys, milliseconds = [self._keys.of("lock", name)], max(1, round(seconds * 1000))
        return bool(self._calls.run(lambda: self._lock_script(keys, (holder, str(milliseconds)))))

    def extend_lock(self, name: str, holder: str, seconds: float, now: float) -> bool:  # noqa: ARG002
        keys, milliseconds = [self._keys.of("lock", name)], max(1, round(seconds * 1000))
        return bool(self._calls.run(lambda: self._extend_script(keys, (holder, str(milliseconds)))))

    def unlock(self, name: str, holder: str) -> None:
        self._calls.run(lambda: self._unlock_script([self._keys.of("lock", name)], [holder]))

    def set_fact(self, name: str, value: str) -> None:
        self._run("HSET", self._keys.of("facts"), name, value)

    def set_fact_once(self, name: str, value: str) -> str:
        # Read again, because another process may have been first.
        self._run("HSETNX", self._keys.of("facts"), name, value)
        return self.get_fact(name) or value

    def get_fact(self, name: str) -> str | None:
        value = self._run("HGET", self._keys.of("facts"), name)
        return value.decode() if value is not None else None

    # -- the store itself --------------------------------------------------------------------

    def capacity(self) -> Capacity | None:
        memory = self._run("INFO", "memory")
        limit = int(memory["maxmemory"]) or int(memory["total_system_memory"])
        return Capacity("redis", int(memory["used_memory"]), limit)

    def ping(self) -> None:
        # Writes, because a replica or a full Redis still serves reads.
        self._run("SET", self._keys.of("ping"), "", "EX", 10)

    def doubts(self) -> list[str]:
        """Warnings about settings of this Redis that may lose jobs."""
        return self._calls.doubts()

    def close(self) -> None:
        if self._owned:
            self._client.close()
