"""One Redis per session, and one hub of models per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.make_tiny_whisper import build
from tests.model_hub import ModelHub
from tests.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ModelHub]:
    """A hub that has a tiny Whisper once it is started."""
    hub = ModelHub(build(tmp_path / "model"), tmp_path / "cache" / "models")
    yield hub
    hub.stop()
