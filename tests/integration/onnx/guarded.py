"""
Diarize with the real networks in a process that may not open a socket; print what it did.

    python -m tests.integration.onnx.guarded [on]

`on` opens one on purpose, to show that the guard sees it.
"""

import json
import socket
import sys

ATTEMPTS: list[str] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith("socket."):
        ATTEMPTS.append(f"{event} {arguments!s}")
        raise OSError("no sockets in this test")


def main(switch: str) -> None:
    """From settings to turns, as in a worker."""
    sys.addaudithook(_note)
    if switch == "on":
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=1.0)
        except OSError:
            print(json.dumps({"attempts": ATTEMPTS}))
        return
    from meet_transcriber.bootstrap import engines  # noqa: PLC0415
    from meet_transcriber.core.options import Options  # noqa: PLC0415
    from meet_transcriber.core.transcript import Span  # noqa: PLC0415
    from meet_transcriber.settings import Settings  # noqa: PLC0415
    from tests.simulated.sound import Sound  # noqa: PLC0415
    from tests.simulated.voices import conversation  # noqa: PLC0415

    chosen = engines.diarizer(Settings.model_validate({"diarization_engine": "onnx"}))
    assert chosen is not None
    audio = Sound(conversation(1))
    found = chosen.engine.diarize(audio, [Span(0.0, 30.0)], Options(), lambda _share: None)
    heavy = [name for name in ("torch", "pyannote", "scipy.cluster") if name in sys.modules]
    print(json.dumps({"turns": len(found.turns), "attempts": ATTEMPTS, "imported": heavy}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "off")
