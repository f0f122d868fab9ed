"""Diarization by acoustics alone: no weights, no network."""
