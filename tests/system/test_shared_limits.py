"""Rate limits that processes share in a real Redis, and clients that exceed them."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
import redis

from meet_transcriber.api.app import create_app
from meet_transcriber.auth.rate_limiter import Counters
from meet_transcriber.core.redis_urls import parse_redis_url
from meet_transcriber.ports.auth import Hit, Rate
from meet_transcriber.service import Policy, SubmissionRequest
from meet_transcriber.settings import Settings
from meet_transcriber.stores.redis.client import build_client
from meet_transcriber.stores.redis.rate_limits import RedisCounters
from tests.redis_server import RedisServer
from tests.system.openai_server import client_of
from tests.unit.api.service_fixture import make_service
from tests.unit.auth.test_rate_limiter import hit, peek

ROOT = Path(__file__).parents[2]
PROCESSES, TIMES, LIMIT = 4, 50, 70
HIT = """
import sys
from tests.system.test_shared_limits import LIMIT, TIMES, counters, hit
from meet_transcriber.ports.auth import Hit, Rate
counted = counters(sys.argv[1])
print(sum(hit(counted, "address", Rate(LIMIT, 600), sys.argv[2]).allowed for _ in range(TIMES)))
"""


def counters(url: str) -> Counters:
    return Counters(RedisCounters(build_client(parse_redis_url(url)), "test"))


def hits(url: str, who: str) -> int:
    """How many of a process's requests were allowed."""
    command = [sys.executable, "-c", HIT, url, who]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout)


def test_exactly_the_limit_passes_across_processes(redis_server: RedisServer) -> None:
    with ThreadPoolExecutor(PROCESSES) as pool:
        allowed = list(pool.map(lambda _: hits(redis_server.url, "ann"), range(PROCESSES)))
    assert sum(allowed) == LIMIT
    assert hit(counters(redis_server.url), "address", Rate(LIMIT, 600), "ann").remaining == 0


def test_exactly_the_limit_passes_across_threads(redis_server: RedisServer) -> None:
    shared, rate = counters(redis_server.url), Rate(30, 600)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: hit(shared, "address", rate, "ben"), range(100)))
    assert sum(count.allowed for count in counts) == 30
    assert sorted({count.remaining for count in counts if count.allowed}) == list(range(30))


def test_another_process_sees_the_remaining_count(redis_server: RedisServer) -> None:
    one, other, rate = counters(redis_server.url), counters(redis_server.url), Rate(3, 600)
    assert [hit(each, "key", rate, "k").remaining for each in (one, other, one)] == [2, 1, 0]
    assert not peek(other, "key", rate, "k").allowed
    assert 590 < peek(other, "key", rate, "k").reset_seconds <= 600


def test_requests_that_are_counted_together_take_one_round_trip(redis_server: RedisServer) -> None:
    client = build_client(parse_redis_url(redis_server.url))
    counted, rate = Counters(RedisCounters(client, "together")), Rate(2, 600)
    hit(counted, "key", rate, "other")  # loads the script
    hits = [Hit("failed", rate, "ann", peek=True), Hit("key", rate, "ann"), Hit("sub", rate, "ann")]
    before = calls(client)
    found = counted.count([hits] * 3)
    assert calls(client) - before == 1
    counts = [each.counts for each in found]
    assert [[count.remaining for count in each] for each in counts] == [
        [1, 1, 1], [1, 0, 0], [1, 0]
    ]  # fmt: skip
    assert [counts[-1][-1].allowed, counts[-2][-1].allowed] == [False, True]


def calls(client: redis.Redis) -> int:
    """How many scripts Redis has run."""
    stats: Any = client.info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


def test_without_redis_each_process_limits(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        shared, rate = counters(server.url), Rate(2, 600)
        assert hit(shared, "key", rate, "k").allowed
    assert [hit(shared, "key", rate, "k").allowed for _ in range(3)] == [True, True, False]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[openai.OpenAI]:
    settings = Settings(auth_mode="open", data_dir=tmp_path, rate_limit="2/minute")
    with client_of(create_app(make_service(tmp_path), settings)) as client:
        yield client


def test_the_official_client_raises_its_own_error(client: openai.OpenAI) -> None:
    for _ in range(2):
        client.models.list()
    with pytest.raises(openai.RateLimitError, match="RATE_LIMIT") as raised:
        client.with_options(max_retries=0).models.list()
    headers = raised.value.response.headers
    assert int(headers["retry-after"]) <= 60
    assert headers["ratelimit"].startswith('"address";r=0;t=')


def test_the_official_client_raises_for_a_full_queue(tmp_path: Path) -> None:
    service = make_service(tmp_path, Policy(max_queued_jobs=1))
    upload = service.submissions.start_upload("a.wav")
    upload.write(b"tape")
    upload.finish(SubmissionRequest())
    app = create_app(service, Settings(auth_mode="open", data_dir=tmp_path))
    with client_of(app) as client, pytest.raises(openai.RateLimitError) as raised:
        client.with_options(max_retries=0).audio.transcriptions.create(
            model="whisper-1", file=("a.wav", b"tape")
        )
    assert raised.value.code == "queue_full"
    assert int(raised.value.response.headers["retry-after"]) == 60
