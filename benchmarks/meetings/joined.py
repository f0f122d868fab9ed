"""Several meetings joined to one long recording."""

from pathlib import Path

import soundfile

from benchmarks.meetings.generate import Meeting, from_seed
from meet_transcriber.core.scoring import all_words
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

FIRST_SEED = 9100
"""Seeds from here on are held out for measuring."""

_MEETING_SECONDS = 180.0
_TOO_SHORT_SECONDS = 15.0  # for another meeting


def meeting(place: int, seconds: float) -> Meeting:
    """Make a meeting of about this duration with three to five voices, some of them similar."""
    return from_seed(
        FIRST_SEED + place,
        minutes=min(seconds, _MEETING_SECONDS) / 60,
        voices=3 + place % 3,
        similar=place % 2 == 1,
    )


def write(minutes: float, path: Path) -> None:
    """Write the audio as FLAC, and its words as .txt, one meeting per line."""
    said: list[str] = []
    left = minutes * 60
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16") as file:
        while left > _TOO_SHORT_SECONDS:
            next_one = meeting(len(said), left)
            for block in next_one.blocks():
                file.write(block)
                left -= len(block) / SAMPLE_RATE_HZ
            said.append(" ".join(all_words(next_one.reference)))
    path.with_suffix(".txt").write_text("\n".join(said) + "\n", encoding="utf-8")
