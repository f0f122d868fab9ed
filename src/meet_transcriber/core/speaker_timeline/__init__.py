"""Speaker timelines: who spoke when, as recorded by a conference system or a person."""

from meet_transcriber.core.speaker_timeline.formats import (
    MAX_BYTES,
    SPEAKER_TIMELINE,
    Entry,
    Timeline,
    decode_text,
    parse_timeline,
    read_entries,
    read_timeline,
)
from meet_transcriber.core.speaker_timeline.matching import Naming, name_speakers

__all__ = [
    "MAX_BYTES",
    "SPEAKER_TIMELINE",
    "Entry",
    "Naming",
    "Timeline",
    "decode_text",
    "name_speakers",
    "parse_timeline",
    "read_entries",
    "read_timeline",
]
