"""Formats that scoring tools read: RTTM, STM and SegLST."""

import json
import re

from meet_transcriber.core.formats.text import one_line, shown_name
from meet_transcriber.core.transcript import Transcript, Turn

RECORDING = "recording"
"""Stands for the recording; scoring tools want a name without spaces."""

UNKNOWN = "unknown"
"""Stands for a speaker nobody knows, in formats that must name one; readers undo it."""


def export_rttm(transcript: Transcript) -> str:
    """A SPEAKER line per turn (NIST RT-09); per segment of speakers who have no turns."""
    have = {turn.speaker for turn in transcript.turns}
    segments = (
        Turn(segment.start, segment.end, segment.speaker)
        for segment in transcript.segments
        if segment.speaker and segment.speaker not in have
    )
    turns = sorted((*transcript.turns, *segments), key=lambda turn: turn.start)
    return "".join(
        f"SPEAKER {RECORDING} 1 {turn.start:.3f} {turn.duration:.3f} <NA> <NA> "
        f"{_token(shown_name(transcript, turn.speaker))} <NA> <NA>\n"
        for turn in turns
    )


def export_stm(transcript: Transcript) -> str:
    """
    A line per segment: recording, channel, speaker, start, end, text (NIST sctk).

    The format has no way to leave the speaker out, so `UNKNOWN` stands for nobody knows.
    """
    return "".join(
        f"{RECORDING} 1 {_token(shown_name(transcript, segment.speaker))} "
        f"{segment.start:.3f} {segment.end:.3f} {one_line(segment.text)}\n"
        for segment in transcript.segments
    )


def export_seglst(transcript: Transcript) -> str:
    """SegLST, the JSON of the CHiME challenges and meeteval."""
    rows = [
        {
            "session_id": RECORDING,
            "speaker": shown_name(transcript, segment.speaker) or UNKNOWN,
            "start_time": round(segment.start, 3),
            "end_time": round(segment.end, 3),
            "words": one_line(segment.text),
        }
        for segment in transcript.segments
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _token(name: str | None) -> str:
    """A name without spaces, `UNKNOWN` where there is none."""
    return re.sub(r"[\s;]+", "_", name) if name else UNKNOWN
