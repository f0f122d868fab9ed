"""Rate limits in fixed windows, counted in Redis."""

from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import RedisError

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.ports.auth import Hit, Window
from meet_transcriber.stores.redis.index import Keys

# KEYS: counters, and the change mark of the jobs. ARGV: for each counter whether it is the first of
# a request, whether it is only peeked at, its limit, and the milliseconds of a window. Returns the
# mark, and count and milliseconds left for each counter, in one string, which the client parses in
# one step; count -1 for those after a limit that the request exceeds.
_COUNT = """
local found, open = {}, true
for at = 1, #KEYS - 1 do
    local key = KEYS[at]
    local first, peek, most, window = unpack(ARGV, 4 * at - 3, 4 * at)
    local used, left = -1, window
    open = open or first == '1'
    if open then
        if peek == '1' then
            local value = redis.call('GET', key)
            used = (value or 0) + 1
            left = value and redis.call('PTTL', key) or window
        else
            used = redis.call('INCR', key)
            left = redis.call('PTTL', key)
            if left < 0 then redis.call('PEXPIRE', key, window) end
        end
        if tonumber(left) < 0 then left = window end
        open = used <= tonumber(most)
    end
    found[2 * at], found[2 * at + 1] = used, left
end
found[1] = redis.call('GET', KEYS[#KEYS]) or 0
return table.concat(found, ' ')
"""


class RedisCounters:
    """
    Counts by the clock of Redis, in one round trip for all requests of a call, which reads the
    change mark of the jobs in the same namespace, too.

    It does not repeat a call whose connection broke, as that would count twice.
    """

    def __init__(self, client: redis.Redis, namespace: str = "mt") -> None:
        self._script: Any = client.register_script(_COUNT)
        keys = Keys(namespace)
        self._prefix, self._mark = keys.of("limits"), keys.of("mark")

    def count(self, requests: Sequence[Sequence[Hit]]) -> tuple[list[list[Window]], int]:
        keys, values = list[str](), list[int]()
        for hits in requests:
            for number, (policy, rate, client, peek) in enumerate(hits):
                keys.append(f"{self._prefix}:{policy}:{rate.amount}:{rate.seconds}:{client}")
                values += (int(number == 0), int(peek), rate.amount, 1000 * rate.seconds)
        try:
            found = map(int, self._script([*keys, self._mark], values).split())
        except RedisError as error:
            raise StorageUnavailable(f"Redis does not respond: {error}") from error
        mark = next(found)
        states = [[(next(found), next(found)) for _ in hits] for hits in requests]
        windows = [[Window(used, ms / 1000) for used, ms in each if used >= 0] for each in states]
        return windows, mark
