"""WER, cpWER and DER, as counts that add up."""

from meet_transcriber.core.scoring.der import (
    DetectionErrors,
    DiarizationErrors,
    detection_errors,
    diarization_errors,
)
from meet_transcriber.core.scoring.meeting import COLLAR, MeetingErrors, meeting_errors
from meet_transcriber.core.scoring.wer import (
    WordErrors,
    all_words,
    cp_word_errors,
    normalized,
    streams,
    word_errors,
)

__all__ = [
    "COLLAR",
    "DetectionErrors",
    "DiarizationErrors",
    "MeetingErrors",
    "WordErrors",
    "all_words",
    "cp_word_errors",
    "detection_errors",
    "diarization_errors",
    "meeting_errors",
    "normalized",
    "streams",
    "word_errors",
]
