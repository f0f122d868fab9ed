"""What runs our models keeps no account of it for its maker, whatever the environment says."""

import os
import subprocess
import sys
from pathlib import Path


def test_onnxruntime_makes_no_identifier_and_keeps_no_events(tmp_path: Path) -> None:
    program = (
        "from meet_transcriber.bootstrap.doctor import examine; "
        "from meet_transcriber.settings import Settings; "
        "print(next(found.works for found in examine(Settings()) if found.part == 'silero'))"
    )
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **places, "ORT_DISABLE_TELEMETRY": "0"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "True\n"
    assert "telemetry" not in done.stderr
    assert list(tmp_path.iterdir()) == []
