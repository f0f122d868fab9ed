"""The bundled sample meeting: transcribed, and scored against what was really said."""

from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path

from meet_transcriber.bootstrap import Engines
from meet_transcriber.cli.transcribe import transcribe_file
from meet_transcriber.core.options import Options
from meet_transcriber.core.readers import read_json
from meet_transcriber.core.scoring import MeetingErrors, meeting_errors
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.settings import Settings

MOST_WER, MOST_CPWER, MOST_DER = 0.04, 0.06, 0.01
"""
What `meet-transcriber verify` expects on the sample. Whisper base and the diarizer onnx with CAM++
reach a WER of 2.7 %, a cpWER of 3.5 % and a DER of 0.2 % (tests/system/test_sample.py).
"""

LEAST_COVERAGE = 0.97
"""The sample is clear speech throughout; Whisper base gives words to all of it."""

_SAMPLES = files("meet_transcriber") / "samples"


def sample_recording() -> AbstractContextManager[Path]:
    """The sample as a file."""
    return as_file(_SAMPLES / "standup.ogg")


def sample_reference() -> Transcript:
    """What was said in the sample, by whom and when."""
    return read_json((_SAMPLES / "standup.json").read_text("utf-8"))


def transcribe_sample(settings: Settings, engines: Engines) -> Transcript:
    """The sample through the engines, without any hint."""
    with sample_recording() as path:
        return transcribe_file(path, Options(), settings, engines)


def score_sample(transcript: Transcript) -> MeetingErrors:
    """The errors of a transcript of the sample; see `meeting_errors`."""
    return meeting_errors(sample_reference(), transcript)
