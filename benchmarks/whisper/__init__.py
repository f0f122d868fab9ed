"""Our pipeline and bare faster-whisper on one recording, by stage."""
