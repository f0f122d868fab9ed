"""Values and pure functions of the transcript; standard library only."""
