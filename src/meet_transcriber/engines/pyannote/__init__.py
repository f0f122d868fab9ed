"""pyannote.audio's speaker diarization, majors 3 and 4; the extra `[pyannote]` installs it."""

from meet_transcriber.engines.pyannote.config import pull_pipeline
from meet_transcriber.engines.pyannote.diarizer import PyannoteDiarizer

__all__ = ["PyannoteDiarizer", "pull_pipeline"]
