"""Keys that a command creates on one machine and an API on another requires, over Redis."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.system.test_whole import BIN, Installation


@pytest.fixture
def spread(tmp_path: Path, redis_server: RedisServer) -> Iterator[Installation]:
    installation = Installation(tmp_path, REDIS_URL=redis_server.url, AUTH_MODE="required")
    installation.api()
    yield installation
    installation.close()


def keys(spread: Installation, *words: str) -> str:
    """What `meet-transcriber keys` prints, run in a folder of its own."""
    environment = {**spread.variables, "DATA_DIR": str(spread.folder / "elsewhere")}
    command = [str(BIN / "meet-transcriber"), "keys", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_key_is_valid_everywhere_until_it_is_revoked(spread: Installation) -> None:
    token = keys(spread, "create", "ops", "--scopes", "read,admin")
    headers = {"Authorization": f"Bearer {token}"}
    assert spread.http.get("/transcribe").status_code == 401
    assert spread.http.get("/transcribe", headers=headers).status_code == 200
    trail = spread.http.get("/audit", headers=headers).json()["data"]
    assert {"create_key", "refused"} <= {entry["action"] for entry in trail}
    keys(spread, "revoke", token.split("_")[1])
    assert spread.http.get("/transcribe", headers=headers).status_code == 401
    assert not list(spread.folder.rglob("audit.jsonl"))


def test_no_key_is_in_redis(spread: Installation, redis_server: RedisServer) -> None:
    token = keys(spread, "create", "ops", "--scopes", "read")
    spread.http.post("/session", json={"key": token})
    listed = json.loads(keys(spread, "list", "--json"))
    assert token.split("_")[1] in {each["id"] for each in listed}
    files = [path for path in redis_server.folder.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)  # every write is in its log
    assert token.split("_", 2)[2].encode() not in kept
    assert token.split("_")[1].encode() in kept
