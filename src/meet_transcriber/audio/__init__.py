"""Adapters around PyAV and silero: any media in, 16 kHz working audio and speech spans out."""
