"""Rate limits in fixed windows, counted in Redis."""

from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import RedisError

from meet_transcriber.core.errors import StorageUnavailable
from meet_transcriber.ports.auth import Hit, Window

# KEYS: counters. ARGV: for each whether it is the first of a request, whether it is only peeked at,
# its limit, and the milliseconds of a window. Returns count and milliseconds left for each; count
# -1 for those after a limit that the request exceeds.
_COUNT = """
local found, open = {}, true
for at, key in ipairs(KEYS) do
    local first, peek, most, window = unpack(ARGV, 4 * at - 3, 4 * at)
    local used, left = -1, window
    open = open or first == '1'
    if open then
        if peek == '1' then
            used = (redis.call('GET', key) or 0) + 1
            left = redis.call('PTTL', key)
        else
            used = redis.call('INCR', key)
            left = redis.call('PTTL', key)
            if left < 0 then redis.call('PEXPIRE', key, window) end
        end
        if left < 0 then left = window end
        open = used <= tonumber(most)
    end
    found[2 * at - 1], found[2 * at] = used, tonumber(left)
end
return found
"""


class RedisCounters:
    """
    Counts by the clock of Redis, in one round trip for all requests of a call.

    It does not repeat a call whose connection broke, as that would count twice.
    """

    def __init__(self, client: redis.Redis, namespace: str = "mt") -> None:
        self._script: Any = client.register_script(_COUNT)
        self._prefix = f"{namespace}:limits"

    def count(self, requests: Sequence[Sequence[Hit]]) -> list[list[Window]]:
        keys, values = list[str](), list[int]()
        for hits in requests:
            for number, (policy, rate, client, peek) in enumerate(hits):
                keys.append(f"{self._prefix}:{policy}:{rate.amount}:{rate.seconds}:{client}")
                values += (int(number == 0), int(peek), rate.amount, 1000 * rate.seconds)
        try:
            found = iter(self._script(keys, values))
        except RedisError as error:
            raise StorageUnavailable(f"Redis does not respond: {error}") from error
        states = [[(next(found), next(found)) for _ in hits] for hits in requests]
        return [[Window(used, left / 1000) for used, left in each if used >= 0] for each in states]
