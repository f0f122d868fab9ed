"""People known by their voices, where jobs and objects are in a Redis."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from meet_transcriber.core.errors import InvalidOptions
from tests.contract.voice_story import VoiceStory
from tests.redis_server import RedisServer
from tests.simulated.people import Town, town

SECRET = "a-secret-of-the-operator"


@pytest.fixture(name="town")
def town_(tmp_path: Path, redis_server: RedisServer) -> Iterator[Town]:
    redis.Redis.from_url(redis_server.url).flushall()
    with town(tmp_path, REDIS_URL=redis_server.url, VOICE_SECRET=SECRET) as made:
        yield made


@pytest.fixture
def everything(town: Town, redis_server: RedisServer) -> Callable[[], bytes]:
    client = redis.Redis.from_url(redis_server.url)

    def read() -> bytes:
        dumps = (client.dump(key) or b"" for key in client.scan_iter())
        files = (path for path in town.folder.rglob("*") if path.is_file())
        return b"\n".join([*dumps, *(path.read_bytes() for path in files)])

    return read


class TestVoicesOverRedis(VoiceStory):
    """The secret is the operator's."""


def test_without_a_secret_of_all_machines_nothing_starts(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with (
        pytest.raises(InvalidOptions, match="VOICE_SECRET"),
        town(tmp_path, REDIS_URL=redis_server.url),
    ):
        pass
