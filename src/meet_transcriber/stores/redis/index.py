"""
The keys of jobs in Redis, the commands that update them, and scripts that run these atomically.

NS:job:ID       hash    doc, version, write, created, state, name, tenant
NS:key:KEY      string  id of the job with this idempotency key
NS:listed       zset    ids by creation; NS:pending the same, of those that wait
NS:listed:TENANT  zset  the same of one tenant
NS:due          zset    ids by due_at
NS:ready:QUEUE:TENANT  zset  ids by IndexEntry.order
NS:ready:QUEUE  set     tenants that have, or had, such jobs
NS:running:TENANT  hash  id -> its running tasks
NS:served       zset    tenants by the latest IndexEntry.served_at, for two days
NS:active       hash    id -> what it adds to the backlog
NS:active:TENANT  zset  ids of the jobs that one tenant has in it
NS:uploads:TENANT  zset  ids of its resumable uploads that were not submitted yet
NS:stored:TENANT  hash  id -> bytes of the stored recording
NS:stored_sum:TENANT  string  their sum, until it expires and is made again
NS:audio:TENANT   zset  `ID SECONDS` by submission, for two days
NS:mark         string  counts the changes of all jobs
NS:changes:TENANT  zset  ids by the mark of their latest change, also of removed jobs
NS:workers      set     ids; NS:worker:ID a report, until it expires
NS:lock:NAME    string  the holder, until it expires
NS:facts        hash    name -> value
NS:schema       string  number of the schema that all indexes follow
NS:ping         string  a test write, which expires after seconds
NS:keys         hash    id -> API key; NS:session:ID a browser's session, until it expires
NS:audit        stream  the latest audit entries; NS:audit:strangers those of requests that
                        were refused without a valid key
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from meet_transcriber.core.jobs import CHANGES_KEPT, Backlog, IndexEntry, Job, Usage, index_entry
from meet_transcriber.stores.base import dump, folded

Command = Sequence[str | bytes | int]

REMEMBERED_SECONDS = 2 * 24 * 3600.0
"""How long submitted audio, and when a tenant was served, is remembered at least."""

CHANGED = "CHANGED"
"""Not a command of Redis: the commit script records a change with the next mark."""

STORED = "STORED"
"""The same: the script sets the bytes of a stored recording, and keeps their sum."""

_SUM_SECONDS = 24 * 3600
"""How long a sum is kept. It goes wrong only where an older version writes meanwhile."""

_BUSY_STEP = 1e10
"""Added to a score per running task; in seconds, later than any moment until 2286."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of the keys of one installation."""

    namespace: str

    def of(self, *parts: str) -> str:
        return ":".join((self.namespace, *parts))

    def job(self, job_id: str) -> str:
        return self.of("job", job_id)


def score(entry: IndexEntry) -> float:
    """IndexEntry.order as one number, exact to a tenth of a millisecond."""
    running, served_at = entry.order
    return running * _BUSY_STEP + served_at


def writing(keys: Keys, old: Job | None, new: Job, write: str) -> list[Command]:
    """The commands that replace `old` by `new`, in the record and its index."""
    record: Command = (
        *("HSET", keys.job(new.id), "doc", dump(new), "version", new.version, "write", write),
        *("created", repr(new.created_at), "state", new.state, "name", folded(new.name)),
        *("tenant", new.tenant),
    )
    before, after = index_entry(old) if old else None, index_entry(new)
    changed = _changed(keys, new)
    return [record, *_moves(keys, new.id, before, after), *_key_commands(keys, old, new), changed]


def removing(keys: Keys, old: Job) -> list[Command]:
    """The commands that remove a job."""
    commands: list[Command] = [("DEL", keys.job(old.id)), _changed(keys, old)]
    commands += _moves(keys, old.id, index_entry(old), None)
    if old.unique_key is not None:
        commands.append(("DEL", keys.of("key", old.unique_key)))
    return commands


def _changed(keys: Keys, job: Job) -> Command:
    """A pseudo-command of the commit script: record the job's latest change."""
    return CHANGED, keys.of("mark"), keys.of("changes", job.tenant), job.id


def backlog(found: Iterable[bytes]) -> Backlog:
    """Sum the backlog entries of the active jobs."""
    ready, running, jobs = Counter[str](), Counter[str](), Counter[str]()
    seconds_left, since, created = 0.0, dict[str, float](), list[float]()
    for share in map(json.loads, found):
        ready.update(share["ready"])
        running.update(share["running"])
        jobs[share["state"]] += 1
        if share["state"] != "uploading":
            created.append(share["created_at"])
        seconds_left += share["seconds_left"]
        for queue in share["ready"]:
            since[queue] = min(since.get(queue, inf), share["served_at"])
    oldest_at = min(created, default=None)
    return Backlog(dict(ready), dict(running), dict(jobs), seconds_left, since, oldest_at)


def usage_keys(keys: Keys, tenant: str) -> list[str]:
    """What the script `USAGE` reads."""
    names = "active", "uploads", "stored", "stored_sum", "audio"
    return [keys.of(name, tenant) for name in names]


def usage(active: int, uploads: int, stored: bytes, audio: Sequence[bytes]) -> Usage:
    """What the script `USAGE` returns; `audio` has members and scores in turn."""
    seconds = sum(float(member.rpartition(b" ")[2]) for member in audio[::2])
    oldest = min(map(float, audio[1::2]), default=None)
    return Usage(active, int(stored), seconds, oldest, uploads)


def _scores(keys: Keys, entry: IndexEntry | None) -> dict[str, str]:
    """The zsets that a job is in, with its scores."""
    if entry is None:
        return {}
    scores = {
        keys.of("ready", entry.claim_queue(queue), entry.tenant): repr(score(entry))
        for queue in entry.ready
    }
    if entry.listed:
        scores[keys.of("listed")] = repr(entry.created_at)
        scores[keys.of("listed", entry.tenant)] = repr(entry.created_at)
        if entry.state == "pending":
            scores[keys.of("pending")] = repr(entry.created_at)
    if entry.active:
        scores[keys.of("active", entry.tenant)] = repr(entry.created_at)
    if entry.is_upload:
        scores[keys.of("uploads", entry.tenant)] = repr(entry.created_at)
    if entry.due_at is not None:
        scores[keys.of("due")] = repr(entry.due_at)
    return scores


def _share(entry: IndexEntry | None) -> str | None:
    """A job's entry in the backlog."""
    if entry is None or not entry.active:
        return None
    share = {
        "state": entry.state,
        "created_at": entry.created_at,
        "ready": entry.ready,
        "running": entry.running,
        "seconds_left": entry.seconds_left,
        "served_at": entry.order[1],
    }
    return json.dumps(share, sort_keys=True)


def _moves(
    keys: Keys, job_id: str, old: IndexEntry | None, new: IndexEntry | None
) -> Iterator[Command]:
    before, after = _scores(keys, old), _scores(keys, new)
    for key in sorted(before.keys() - after.keys()):
        yield ("ZREM", key, job_id)
    for key, value in after.items():
        if before.get(key) != value:
            yield ("ZADD", key, value, job_id)
    yield from _work(keys, job_id, old, new)
    yield from _used(keys, job_id, old, new)
    # One hash has what the backlog sums, so that it takes one command and reads no record.
    share = _share(new)
    if share is not None:
        yield ("HSET", keys.of("active"), job_id, share)
    elif _share(old) is not None:
        yield ("HDEL", keys.of("active"), job_id)


def _work(
    keys: Keys, job_id: str, old: IndexEntry | None, new: IndexEntry | None
) -> Iterator[Command]:
    """Update what decides whose turn it is."""
    entry = new or old
    if entry is None:
        return
    # READY removes the tenants that have no ready job left, which is not known here.
    for queue in new.ready if new else ():
        yield ("SADD", keys.of("ready", entry.claim_queue(queue)), entry.tenant)
    had, has = (sum(each.running.values()) if each else 0 for each in (old, new))
    running = keys.of("running", entry.tenant)
    if has != had:
        yield ("HSET", running, job_id, has) if has else ("HDEL", running, job_id)
    if new is not None and new.served_at > (old.served_at if old else 0.0):
        served = keys.of("served")
        yield ("ZADD", served, "GT", repr(new.served_at), new.tenant)
        yield ("ZREMRANGEBYSCORE", served, "-inf", repr(new.served_at - REMEMBERED_SECONDS))


def _used(
    keys: Keys, job_id: str, old: IndexEntry | None, new: IndexEntry | None
) -> Iterator[Command]:
    """Update what counts against a tenant's quotas; audio remains after its job."""
    entry = new or old
    if entry is None:
        return
    had, has = old.stored_bytes if old else 0, new.stored_bytes if new else 0
    *_, stored, stored_sum, audio = usage_keys(keys, entry.tenant)
    if has != had:
        yield (STORED, stored, stored_sum, job_id, has)
    before = old.audio if old else None
    if new is not None and new.audio is not None and new.audio != before:
        at, seconds = new.audio
        # The seconds are part of the member: a member with others would count besides.
        if before is not None:
            yield ("ZREM", audio, f"{job_id} {before[1]!r}")
        yield ("ZADD", audio, repr(at), f"{job_id} {seconds!r}")
        yield ("ZREMRANGEBYSCORE", audio, "-inf", repr(at - REMEMBERED_SECONDS))
        yield ("EXPIRE", audio, int(REMEMBERED_SECONDS))


def _key_commands(keys: Keys, old: Job | None, new: Job) -> Iterator[Command]:
    had, has = old.unique_key if old else None, new.unique_key
    if had == has:
        return
    if had is not None:
        yield ("DEL", keys.of("key", had))
    if has is not None:
        yield ("SET", keys.of("key", has), new.id)


# KEYS: the record; the idempotency key it should have, if any.
# ARGV: the version that must be there, this write's name, the job's id; then the commands,
# each with its length before it.
COMMIT = (
    """
if redis.call('HGET', KEYS[1], 'write') == ARGV[2] then return 1 end
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
local owner = KEYS[2] and redis.call('GET', KEYS[2])
if owner and owner ~= ARGV[3] then return owner end
local at = 4
while at <= #ARGV do
    local size = tonumber(ARGV[at])
    if ARGV[at + 1] == 'CHANGED' then
        local mark = redis.call('INCR', ARGV[at + 2])
        redis.call('ZADD', ARGV[at + 3], mark, ARGV[at + 4])
        redis.call('ZREMRANGEBYSCORE', ARGV[at + 3], '-inf', mark - KEPT)
    elseif ARGV[at + 1] == 'STORED' then
        local had, has = redis.call('HGET', ARGV[at + 2], ARGV[at + 4]) or 0, ARGV[at + 5]
        if has == '0' then redis.call('HDEL', ARGV[at + 2], ARGV[at + 4])
        else redis.call('HSET', ARGV[at + 2], ARGV[at + 4], has) end
        if redis.call('EXISTS', ARGV[at + 3]) == 1 then
            redis.call('INCRBY', ARGV[at + 3], string.format('%.0f', has - had))
        end
    else
        redis.call(unpack(ARGV, at + 1, at + size))
    end
    at = at + size + 1
end
return 1
""".replace("CHANGED", CHANGED)
    .replace("STORED", STORED)
    .replace("KEPT", str(CHANGES_KEPT))
)

# KEYS: a tenant's active jobs, uploads, stored bytes, their sum, audio. ARGV: since when to count.
USAGE = """
local sum = redis.call('GET', KEYS[4])
if not sum then
    local total = 0
    for _, bytes in ipairs(redis.call('HVALS', KEYS[3])) do total = total + bytes end
    sum = string.format('%.0f', total)
    redis.call('SET', KEYS[4], sum, 'EX', SECONDS)
end
local audio = redis.call('ZRANGEBYSCORE', KEYS[5], ARGV[1], '+inf', 'WITHSCORES')
return {redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2]), sum, audio}
""".replace("SECONDS", str(_SUM_SECONDS))

LOCK = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

EXTEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

# ARGV: what all keys begin with, the most jobs of a tenant, then the queues.
# Returns for each tenant and queue: the tenant, its running tasks, when it was served, and ids
# with their scores.
READY = """
local found = {}
for at = 3, #ARGV do
    local queue = ARGV[1] .. 'ready:' .. ARGV[at]
    for _, tenant in ipairs(redis.call('SMEMBERS', queue)) do
        local jobs = redis.call('ZRANGE', queue .. ':' .. tenant, 0, ARGV[2] - 1, 'WITHSCORES')
        if #jobs == 0 then
            redis.call('SREM', queue, tenant)
        else
            local running = 0
            for _, each in ipairs(redis.call('HVALS', ARGV[1] .. 'running:' .. tenant)) do
                running = running + each
            end
            local served = redis.call('ZSCORE', ARGV[1] .. 'served', tenant) or '0'
            found[#found + 1] = {tenant, running, served, jobs}
        end
    end
end
return found
"""

# KEYS: the set of ids. ARGV: what comes before an id in the key of a worker.
WORKERS = """
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local doc = redis.call('GET', ARGV[1] .. id)
    if doc then found[#found + 1] = doc else redis.call('SREM', KEYS[1], id) end
end
return found
"""


def new_write() -> str:
    """An id that identifies a write again after its response was lost."""
    return uuid.uuid4().hex


def in_turn(found: Iterable[tuple[bytes, int, bytes, list[bytes]]], limit: int) -> list[str]:
    """The ids of what READY returns: one job of each tenant, then a second of each."""
    by_tenant: dict[bytes, set[tuple[float, bytes]]] = {}
    turn: dict[bytes, tuple[int, float]] = {}
    for tenant, running, served, jobs in found:
        turn[tenant] = int(running), float(served)
        scored = zip(map(float, jobs[1::2]), jobs[::2], strict=True)
        by_tenant.setdefault(tenant, set()).update(scored)
    places = [
        (place, *turn[tenant], job)
        for tenant, ready in by_tenant.items()
        for place, job in enumerate(sorted(ready))
    ]
    return [job_id.decode() for *_, (_, job_id) in sorted(places)[:limit]]
