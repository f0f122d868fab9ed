"""
Meeting transcription: who said what, when.

    from meet_transcriber import transcribe

    transcript = transcribe("standup.mp3", num_speakers=4)
    for segment in transcript.segments:
        print(segment.start, transcript.name_of(segment.speaker), segment.text)
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meet_transcriber.library import Options, Segment, Transcript, Turn, Word, transcribe

__version__ = "0.1.0"

# Disables the telemetry of onnxruntime; must be set before any package loads it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["Options", "Segment", "Transcript", "Turn", "Word", "transcribe"]


def __getattr__(name: str) -> object:
    # On first use: the children that decode import this package, and load as little as possible.
    if name in __all__:
        from meet_transcriber import library  # noqa: PLC0415

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
