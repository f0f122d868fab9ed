"""Meetings after one another as one long recording."""

from collections.abc import Iterator
from pathlib import Path

import soundfile

from benchmarks.meetings.generate import Meeting, from_seed
from meet_transcriber.core.scoring import all_words
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

FIRST_SEED = 9100
"""Seeds from here on are for measuring only; nothing was ever tuned on them."""

_MEETING_MINUTES = 3.0


def meetings(minutes: float) -> Iterator[Meeting]:
    """Meetings of three to five voices, every second one with two alike, of so much talk in all."""
    place, left = 0, minutes
    while left > 0:
        yield from_seed(
            FIRST_SEED + place,
            minutes=min(left, _MEETING_MINUTES),
            voices=3 + place % 3,
            similar=place % 2 == 1,
        )
        place, left = place + 1, left - _MEETING_MINUTES


def write(minutes: float, path: Path) -> None:
    """Write the sound as FLAC, and what is said in it, a meeting a line, beside it as .txt."""
    said = []
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16") as file:
        for meeting in meetings(minutes):
            for block in meeting.blocks():
                file.write(block)
            said.append(" ".join(all_words(meeting.reference)))
    path.with_suffix(".txt").write_text("\n".join(said) + "\n", encoding="utf-8")
