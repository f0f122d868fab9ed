"""pyannote.audio's speaker diarization, majors 3 and 4; the extra `[pyannote]` installs it."""

from meet_transcriber.engines.pyannote.diarizer import PyannoteDiarizer
from meet_transcriber.engines.pyannote.weights import pull_pipeline

__all__ = ["PyannoteDiarizer", "pull_pipeline"]
