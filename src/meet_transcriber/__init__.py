"""
Meeting transcription: who said what, when.

    from meet_transcriber import transcribe

    transcript = transcribe("standup.mp3", num_speakers=4)
    for segment in transcript.segments:
        print(segment.start, transcript.name_of(segment.speaker), segment.text)
"""

import os

from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Segment, Transcript, Turn, Word
from meet_transcriber.library import transcribe

__version__ = "0.1.0"

# Disables the telemetry of onnxruntime; must be set before any package loads it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["Options", "Segment", "Transcript", "Turn", "Word", "transcribe"]
