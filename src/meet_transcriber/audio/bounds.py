"""Figures that whoever reads a decoder's answer needs, too."""

MAX_CHANNELS = 32
"""More are not mixed."""

MAX_SPLIT = 8
"""FLAC holds no more channels than this."""

PEAKS_PER_SECOND = 20
"""Steps of a waveform's outline."""
