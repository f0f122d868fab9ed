"""Speech recognizers and diarizers; each module guards its own third party."""
