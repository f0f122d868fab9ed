"""SubRip and WebVTT."""

import re

from meet_transcriber.core.exporters.lines import build_cues
from meet_transcriber.core.exporters.text import one_line
from meet_transcriber.core.transcript import Transcript


def clock(seconds: float, mark: str = ".") -> str:
    """`HH:MM:SS.mmm`, rounded to the millisecond."""
    total = round(seconds * 1000)
    minutes, rest = divmod(total, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def export_srt(transcript: Transcript) -> str:
    """SubRip; a name stands in front where the speaker changes."""
    blocks = []
    last: str | None = None
    for number, cue in enumerate(build_cues(transcript), 1):
        lines = [one_line(line) for line in cue.lines]
        if cue.speaker and cue.speaker != last:
            lines[0] = f"{one_line(transcript.name_of(cue.speaker) or '')}: {lines[0]}"
        last = cue.speaker
        # an arrow inside the text would look like a time line to parsers
        text = "\n".join(lines).replace("-->", "->")
        blocks.append(f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def export_vtt(transcript: Transcript) -> str:
    """WebVTT with voice tags (W3C WebVTT, section 3.1)."""
    blocks = ["WEBVTT\n"]
    for cue in build_cues(transcript):
        text = "\n".join(_escaped(one_line(line)) for line in cue.lines)
        name = transcript.name_of(cue.speaker)
        voice = f"<v {_annotation(name)}>{text}</v>" if name else text
        blocks.append(f"{clock(cue.start)} --> {clock(cue.end)}\n{voice}\n")
    return "\n".join(blocks)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _annotation(name: str) -> str:
    return re.sub(r"\s+", " ", _escaped(one_line(name))).strip() or "?"
