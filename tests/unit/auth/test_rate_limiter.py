"""Counting requests: rates as people write them, exact counts, a Redis that is away."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from meet_transcriber.auth.rate_limiter import Counters, parse_rate
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.ports.auth import Rate

MINUTE = Rate(50, 60)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("120/minute", Rate(120, 60)),
        ("5 per 10 seconds", Rate(5, 10)),
        ("3/hour", Rate(3, 3600)),
        ("", None),
        ("0", None),
        ("0/minute", None),
        ("0 per minute", None),
    ],
)
def test_a_rate_is_parsed(text: str, rate: Rate | None) -> None:
    assert parse_rate(text, "RATE_LIMIT") == rate


@pytest.mark.parametrize("text", ["often", "1/fortnight", "-1/minute", "1.5/minute", "x" * 200])
def test_a_malformed_rate_names_its_setting(text: str) -> None:
    with pytest.raises(InvalidOptions, match="RATE_LIMIT is not usable"):
        parse_rate(text, "RATE_LIMIT")


def test_exactly_the_limit_passes_across_threads() -> None:
    counters = Counters()
    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(lambda _: counters.hit("address", MINUTE, "ann"), range(400)))
    assert sum(count.allowed for count in counts) == 50
    assert sorted({count.remaining for count in counts if count.allowed}) == list(range(50))


def test_callers_and_policies_do_not_count_for_each_other() -> None:
    counters = Counters()
    for _ in range(60):
        counters.hit("address", MINUTE, "ann")
    assert counters.hit("address", MINUTE, "ben").remaining == 49
    assert counters.hit("key", MINUTE, "ann").remaining == 49


def test_peeking_does_not_count() -> None:
    counters, rate = Counters(), Rate(1, 60)
    assert all(counters.peek("address", rate, "ann").allowed for _ in range(5))
    assert counters.hit("address", rate, "ann").allowed
    assert not counters.peek("address", rate, "ann").allowed


def test_the_next_window_begins_anew() -> None:
    counters, rate = Counters(), Rate(1, 1)
    assert counters.hit("address", rate, "ann").allowed
    refused = counters.hit("address", rate, "ann")
    assert (refused.allowed, refused.reset_seconds) == (False, 1)
    time.sleep(1.1)
    assert counters.hit("address", rate, "ann").allowed


def test_an_unreachable_redis_neither_blocks_requests_nor_disables_limits() -> None:
    away = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=1)
    counters, rate = Counters(away), Rate(2, 60)
    assert not counters.quick
    assert [counters.hit("address", rate, "ann").allowed for _ in range(3)] == [True, True, False]
