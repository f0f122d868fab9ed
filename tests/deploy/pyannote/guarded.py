# ruff: noqa: PLC0415 - the guard must stand before anything is imported
"""Diarize in a process of its own and print every attempt to reach the network.

    python tests/deploy/pyannote/guarded.py FOLDER [on]

`on` switches the library's telemetry on behind our back, to show that the guard sees it.
"""

import json
import os
import sys
import time

ATTEMPTS: list[str] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.getaddrinfo", "socket.connect", "socket.sendto"}:
        ATTEMPTS.append(f"{event} {arguments[0]!s}")
        raise OSError("no network in this test")


def main(folder: str, switch: str) -> None:
    """Load and run one pipeline, and wait for telemetry to be sent."""
    sys.modules["torchcodec"] = None  # type: ignore[assignment]
    sys.addaudithook(_note)
    import numpy as np

    from meet_transcriber.core.options import Options
    from meet_transcriber.core.transcript import Span
    from meet_transcriber.engines.pyannote.diarizer import PyannoteDiarizer
    from meet_transcriber.engines.pyannote.loader import import_library
    from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

    class Noise:
        """Four seconds of an AudioSource."""

        duration, channels = 4.0, 1

        def read(self, start: float, end: float, channel: int = 0) -> Waveform:
            size = round((end - start) * SAMPLE_RATE_HZ)
            return np.random.default_rng(channel).standard_normal(size, np.float32)

    import_library()
    if switch == "on":
        os.environ["PYANNOTE_METRICS_ENABLED"] = "1"
        from pyannote.audio.telemetry import track_pipeline_init

        track_pipeline_init(object())
    else:
        diarizer = PyannoteDiarizer(folder, token="hf_secret", device="cpu")
        turns = diarizer.diarize(Noise(), [Span(0.0, 4.0)], Options(), lambda _: None).turns
        assert turns
    time.sleep(2.0)
    print(json.dumps(ATTEMPTS))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "off")
