"""A speaker timeline: who was speaking when, as a conference system or a person noted it."""

from meet_transcriber.core.speaker_timeline.formats import (
    MOST_BYTES,
    SPEAKER_TIMELINE,
    Entry,
    Timeline,
    decoded,
    parse,
    read,
    read_entries,
)
from meet_transcriber.core.speaker_timeline.matching import Naming, take_over

__all__ = [
    "MOST_BYTES",
    "SPEAKER_TIMELINE",
    "Entry",
    "Naming",
    "Timeline",
    "decoded",
    "parse",
    "read",
    "read_entries",
    "take_over",
]
