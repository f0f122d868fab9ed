"""No network use, even if the environment enables the library's telemetry."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GUARDED = Path(__file__).with_name("guarded.py")


def _attempts(*arguments: str) -> list[str]:
    environment = {**os.environ, "PYANNOTE_METRICS_ENABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(GUARDED), *arguments],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", ["like-3.1", "like-community-1"])
def test_loading_and_running_uses_no_network_and_no_torchcodec(pipelines: Path, kind: str) -> None:
    assert _attempts(str(pipelines / kind)) == []


def test_the_guard_notices_telemetry_that_is_on(pipelines: Path) -> None:
    assert any("pyannote.ai" in attempt for attempt in _attempts(str(pipelines), "on"))
