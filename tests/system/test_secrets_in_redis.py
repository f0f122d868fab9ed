"""With every secret set, neither a Celery worker's output nor Redis has one."""

from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.simulated.system import System
from tests.unit.settings.canaries import canary, environment, leaked


def kept_in(folder: Path) -> str:
    """What a Redis wrote down, but for the file that tells it its password."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "redis.conf"]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


def test_a_job_over_redis_leaves_no_secret_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = environment("redis_url")
    with RedisServer(tmp_path / "redis", password=canary("redis_password")) as redis:
        address = f"redis://127.0.0.1:{redis.port}/0"
        with System(tmp_path, REDIS_URL=address, LOG_LEVEL="DEBUG", **secrets) as system:
            system.celery("one", "--loglevel=DEBUG")
            job = system.ended(system.submit(seconds=2))
    said, kept = "".join(capfd.readouterr()), kept_in(tmp_path / "redis")
    assert job.id in said
    assert job.id in kept
    assert leaked(said + kept) == []
