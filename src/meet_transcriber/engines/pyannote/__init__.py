"""pyannote.audio's speaker diarization, majors 3 and 4; the extra `[pyannote]` installs it."""
