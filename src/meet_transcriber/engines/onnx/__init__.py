"""Speakers without torch and without a token: pyannote's networks and method on onnxruntime."""
