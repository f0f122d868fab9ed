"""Whisper measured: our pipeline and bare faster-whisper on one recording, stage by stage."""
