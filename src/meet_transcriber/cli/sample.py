"""The bundled sample meeting: transcribed, and scored against what was really said."""

from importlib.resources import as_file, files

from meet_transcriber.bootstrap import Engines
from meet_transcriber.cli.transcribe import transcribe_file
from meet_transcriber.core.options import Options
from meet_transcriber.core.readers import read_json
from meet_transcriber.core.scoring import MeetingErrors, meeting_errors
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.settings import Settings

_SAMPLES = files("meet_transcriber") / "samples"


def sample_reference() -> Transcript:
    """What was said in the sample, by whom and when."""
    return read_json((_SAMPLES / "standup.json").read_text("utf-8"))


def transcribe_sample(settings: Settings, engines: Engines) -> Transcript:
    """The sample through the engines, without any hint."""
    with as_file(_SAMPLES / "standup.ogg") as path:
        return transcribe_file(path, Options(), settings, engines)


def score_sample(transcript: Transcript) -> MeetingErrors:
    """The errors of a transcript of the sample; see `meeting_errors`."""
    return meeting_errors(sample_reference(), transcript)
