"""Diarization by acoustics alone: no weights, no network."""

from meet_transcriber.engines.acoustic.diarizer import AcousticDiarizer

__all__ = ["AcousticDiarizer"]
