"""Counting requests: rates as people write them, exact counts, a Redis that is away."""

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from meet_transcriber.auth.rate_limiter import Counters, parse_rate
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.ports.auth import Count, Hit, Rate
from meet_transcriber.stores.redis.rate_limits import RedisCounters

MINUTE = Rate(50, 60)


def hit(counters: Counters, policy: str, rate: Rate, client: str) -> Count:
    """Count one request."""
    (((count,), _),) = counters.count([[Hit(policy, rate, client)]])
    return count


def peek(counters: Counters, policy: str, rate: Rate, client: str) -> Count:
    """The count after one more request, without counting it."""
    (((count,), _),) = counters.count([[Hit(policy, rate, client, peek=True)]])
    return count


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("120/minute", Rate(120, 60)),
        ("5 per 10 seconds", Rate(5, 10)),
        ("3/hour", Rate(3, 3600)),
        (" 10 Per 2Days ", Rate(10, 172_800)),
        ("1000/month", Rate(1000, 2_592_000)),
        ("", None),
        ("0", None),
        ("0/minute", None),
        ("0 per minute", None),
    ],
)
def test_a_rate_is_parsed(text: str, rate: Rate | None) -> None:
    assert parse_rate(text, "RATE_LIMIT") == rate


@pytest.mark.parametrize(
    "text", ["often", "1/fortnight", "-1/minute", "1.5/minute", "1/minute;9/day", "x" * 200]
)
def test_a_malformed_rate_names_its_setting(text: str) -> None:
    with pytest.raises(InvalidOptions, match="RATE_LIMIT is not usable"):
        parse_rate(text, "RATE_LIMIT")


def test_exactly_the_limit_passes_across_threads() -> None:
    counters = Counters()
    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(lambda _: hit(counters, "address", MINUTE, "ann"), range(400)))
    assert sum(count.allowed for count in counts) == 50
    assert sorted({count.remaining for count in counts if count.allowed}) == list(range(50))


def test_callers_and_policies_do_not_count_for_each_other() -> None:
    counters = Counters()
    for _ in range(60):
        hit(counters, "address", MINUTE, "ann")
    assert hit(counters, "address", MINUTE, "ben").remaining == 49
    assert hit(counters, "key", MINUTE, "ann").remaining == 49


def test_peeking_does_not_count() -> None:
    counters, rate = Counters(), Rate(1, 60)
    assert all(peek(counters, "address", rate, "ann").allowed for _ in range(5))
    assert hit(counters, "address", rate, "ann").allowed
    assert not peek(counters, "address", rate, "ann").allowed


def test_the_next_window_begins_anew() -> None:
    counters, rate = Counters(), Rate(1, 1)
    assert hit(counters, "address", rate, "ann").allowed
    refused = hit(counters, "address", rate, "ann")
    assert (refused.allowed, refused.reset_seconds) == (False, 1)
    time.sleep(1.1)
    assert hit(counters, "address", rate, "ann").allowed


def test_an_unreachable_redis_neither_blocks_requests_nor_disables_limits() -> None:
    away = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=1)
    counters, rate = Counters(RedisCounters(away)), Rate(2, 60)
    assert not counters.quick
    assert [hit(counters, "address", rate, "ann").allowed for _ in range(3)] == [True, True, False]


def test_a_request_counts_up_to_the_first_limit_that_it_exceeds() -> None:
    counters, rate = Counters(), Rate(1, 60)
    hits = [Hit("key", rate, "ann"), Hit("key-submit", MINUTE, "ann")]
    found = counters.count([hits, hits, hits])
    assert [[count.policy for count in each] for each, _ in found] == [
        ["key", "key-submit"], ["key"], ["key"]
    ]  # fmt: skip
    assert peek(counters, "key-submit", MINUTE, "ann").remaining == 48


def test_ended_windows_are_dropped_as_fast_as_new_ones_come() -> None:
    counters, brief = Counters(), Rate(1, 1)
    for number in range(2000):
        hit(counters, "address", brief, f"old-{number}")
    time.sleep(1.1)
    tracemalloc.start()
    for number in range(2000):
        hit(counters, "address", brief, f"new-{number}")
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 2000 * 200, "as many windows went as came"
    assert not hit(counters, "address", brief, "new-1999").allowed
