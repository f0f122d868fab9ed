"""Speaker diarization on onnxruntime: pyannote's networks without torch and without a token."""
