"""How workers learn that there is something to do."""
