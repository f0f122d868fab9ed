"""Meeting transcription: who said what, when."""

__version__ = "0.1.0"
