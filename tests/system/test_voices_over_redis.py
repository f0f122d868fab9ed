"""Voices with jobs and objects in Redis."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.voices import FOLDER
from meet_transcriber.service.voices import VoiceBook
from tests.contract.voice_story import VoiceStory
from tests.redis_server import RedisServer
from tests.simulated.people import ANN, Town, town
from tests.simulated.system import wait_for

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


def test_rewritten_files_of_redis_hold_nothing_of_a_deleted_person(
    town: Town, redis_server: RedisServer
) -> None:
    person = town.introduce(town.met((ANN, 6)), "SPEAKER_00", "Ann").json()["id"]
    (piece,) = (data[60:124] for key, data in town.objects().items() if key.startswith(FOLDER))
    assert piece in files_of(redis_server)
    town.ask("DELETE", f"/voices/{person}")
    client = redis.Redis.from_url(redis_server.url)
    client.bgrewriteaof()
    wait_for(lambda: piece not in files_of(redis_server), seconds=30)
    assert VoiceBook(town.system.service.context, "acme").read().people == ()


def files_of(server: RedisServer) -> bytes:
    """What a Redis has on its disk."""
    found = []
    for path in server.folder.rglob("*"):
        with suppress(FileNotFoundError):  # it was replaced meanwhile
            found += [path.read_bytes()] if path.is_file() else []
    return b"\n".join(found)


def test_with_redis_and_no_voice_secret_nothing_starts(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with (
        pytest.raises(InvalidOptions, match="VOICE_SECRET"),
        town(tmp_path, REDIS_URL=redis_server.url),
    ):
        pass
