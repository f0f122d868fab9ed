"""SubRip and WebVTT."""

import re

from meet_transcriber.core.exporters.lines import build_cues
from meet_transcriber.core.exporters.text import shown_name
from meet_transcriber.core.transcript import Transcript

_ARROW = re.compile(r"-{2,}>")


def clock(seconds: float, mark: str = ".") -> str:
    """`HH:MM:SS.mmm`, rounded to the millisecond."""
    total = round(seconds * 1000)
    minutes, rest = divmod(total, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def export_srt(transcript: Transcript) -> str:
    """
    SubRip; a name stands in front where the speaker changes.

    SubRip knows no escaping: `<` and `&` stay as spoken, and an arrow `-->` loses a dash,
    because parsers would take it for a line of times.
    """
    blocks = []
    for number, cue in enumerate(build_cues(transcript, labels=True), 1):
        text = _ARROW.sub("->", "\n".join(cue.lines))
        blocks.append(f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def export_vtt(transcript: Transcript) -> str:
    """WebVTT with voice tags (W3C WebVTT, section 3.1)."""
    blocks = ["WEBVTT\n"]
    for cue in build_cues(transcript):
        text = _escaped("\n".join(cue.lines))
        name = shown_name(transcript, cue.speaker)
        voice = f"<v {_escaped(name)}>{text}</v>" if name else text
        blocks.append(f"{clock(cue.start)} --> {clock(cue.end)}\n{voice}\n")
    return "\n".join(blocks)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
