"""What runs inside Redis, where nobody can come between two steps."""

import uuid
from collections.abc import Iterable
from typing import Any

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.core.jobs import CHANGES_KEPT
from meet_transcriber.stores.redis.client import RedisCalls
from meet_transcriber.stores.redis.index import CHANGED, Command

_CHANGED = 0

# KEYS: the record; the idempotency key it should have, if any.
# ARGV: the version that must be there, this write's name, the job's id; then the commands,
# each with its length before it.
_COMMIT = """
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
    else
        redis.call(unpack(ARGV, at + 1, at + size))
    end
    at = at + size + 1
end
return 1
""".replace("CHANGED", CHANGED).replace("KEPT", str(CHANGES_KEPT))

_LOCK = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

# KEYS: the set of ids. ARGV: what comes before an id in the key of a worker.
_WORKERS = """
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local doc = redis.call('GET', ARGV[1] .. id)
    if doc then found[#found + 1] = doc else redis.call('SREM', KEYS[1], id) end
end
return found
"""


def new_write() -> str:
    """A name for one write, by which it is known again after its answer was lost."""
    return uuid.uuid4().hex


class Scripts:
    """The scripts, ready to be called."""

    def __init__(self, calls: RedisCalls) -> None:
        self._calls = calls
        self._commit: Any = calls.client.register_script(_COMMIT)
        self._lock: Any = calls.client.register_script(_LOCK)
        self._unlock: Any = calls.client.register_script(_UNLOCK)
        self._workers: Any = calls.client.register_script(_WORKERS)

    def commit(
        self, keys: list[str], version: str, write: str, job_id: str, commands: Iterable[Command]
    ) -> bool | str:
        """
        Run commands if the record still has this version; True when they were run.

        Returns the id of another job where that has the idempotency key.

        Raises:
            StorageUnavailable: the line broke, and whether it was written cannot be told.
        """
        values = [version, write, job_id, *(v for each in commands for v in (len(each), *each))]
        sent = 0

        def send() -> Any:
            nonlocal sent
            sent += 1
            return self._commit(keys, values)

        answer = self._calls.run(send)
        if answer == _CHANGED and sent > 1:
            raise StorageUnavailable(
                f"The line to Redis at {self._calls.place} broke while job {job_id} was written, "
                "and somebody else has changed it since; whether the change arrived is unknown."
            )
        return answer.decode() if isinstance(answer, bytes) else bool(answer)

    def lock(self, key: str, holder: str, seconds: float) -> bool:
        """Take or keep a lock, by the clock of Redis."""
        milliseconds = max(1, round(seconds * 1000))
        return bool(self._calls.run(lambda: self._lock([key], [holder, milliseconds])))

    def unlock(self, key: str, holder: str) -> None:
        """Free a lock if this holder has it."""
        self._calls.run(lambda: self._unlock([key], [holder]))

    def workers(self, ids: str, prefix: str) -> list[bytes]:
        """What the workers said that are not silent yet; the others are forgotten."""
        found: list[bytes] = self._calls.run(lambda: self._workers([ids], [prefix]))
        return found
