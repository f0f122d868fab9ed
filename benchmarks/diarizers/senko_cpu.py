"""
Run senko on one recording, on the CPU with silero; for `benchmarks.diarization`.

    python -m benchmarks.diarizers.senko_cpu RECORDING RTTM

Written for senko 0.2.2 in its own environment, which needs none of this project's packages.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

from benchmarks.diarizers.measured import Seconds, report


def main() -> None:
    """Write the turns and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("rttm", type=Path)
    args = parser.parse_args()
    senko: Any = importlib.import_module("senko")  # not in the environment of this project
    diarizer = senko.Diarizer(device="cpu", vad="silero", warmup=True, quiet=True)
    seconds = Seconds()
    with seconds.stage("diarize"):
        found = diarizer.diarize(str(args.recording))
    segments = found["merged_segments"] if found else []
    report(args.rttm, ((s["start"], s["end"], s["speaker"]) for s in segments), seconds)


if __name__ == "__main__":
    main()
