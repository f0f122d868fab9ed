"""Lists of jobs out of Redis, in bounded memory."""

from collections.abc import Sequence
from typing import Any

from meet_transcriber.core.errors import JobNotFound
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.stores.records import folded, load
from meet_transcriber.stores.redis_client import RedisCalls
from meet_transcriber.stores.redis_index import Keys

_CHUNK = 200
"""Ids looked at in one go."""

Place = tuple[float, bytes]
"""A job's place in the lists: when it was made, and its id."""


class PageReader:
    """Goes through the ids by creation, a chunk at a time, and reads what a query admits."""

    def __init__(self, calls: RedisCalls, keys: Keys) -> None:
        self._calls = calls
        self._client: Any = calls.client
        self._keys = keys

    def read(self, query: JobQuery) -> list[Job]:
        """A page, as JobStore.page promises it."""
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
        """The next places; jobs made at the same moment are told apart by their ids."""
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
        """Those that the query may admit, judged without reading records."""
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
        """The first so many of these that the query admits, now that it is asked again."""
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
