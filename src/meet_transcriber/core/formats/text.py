"""Formats to read: plain text, Markdown, tables."""

import csv
import io
import re

from meet_transcriber.core.transcript import Transcript

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]+")
_MARKDOWN = re.compile(r"[\\`*<\[\]~&]|(?<!\w)_|_(?!\w)|^[-+#>=]|(?<=^\d)[.)]|(?<=^\d\d)[.)]")
_CELL_BEGINS = {
    delimiter: re.compile(rf"(^|[{others}])([\s\"']*)(?=[=+@＝＋－＠-])")
    for delimiter, others in {",": ";", "\t": ";,"}.items()
}
"""Where a spreadsheet may see a formula: at a cell's beginning, and behind other separators."""


def one_line(text: str) -> str:
    """Without line breaks, control characters, which no format here carries in a text."""
    return _CONTROL.sub(" ", text).strip()


def shown_name(transcript: Transcript, speaker: str | None) -> str | None:
    """The person's name on one line, the label where that is empty, None when unknown."""
    if speaker is None:
        return None
    name = " ".join(one_line(transcript.name_of(speaker) or "").split())
    return name or one_line(speaker) or None


def stamp(seconds: float) -> str:
    """`HH:MM:SS`, the second that has begun."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def export_txt(transcript: Transcript) -> str:
    """A line per segment: `[00:00:01] SPEAKER_00: Shall we start?`"""
    lines = []
    for segment in transcript.segments:
        name = shown_name(transcript, segment.speaker)
        who = f"{name}: " if name else ""
        lines.append(f"[{stamp(segment.start)}] {who}{one_line(segment.text)}\n")
    return "".join(lines)


def export_md(transcript: Transcript) -> str:
    """Minutes: what is in doubt first, then a heading whenever the speaker changes."""
    out = ["# Transcript\n"]
    if transcript.speakers:
        names = (_markdown(shown_name(transcript, label) or "") for label in transcript.speakers)
        out.append(f"Speakers: {', '.join(names)}\n")
    out.extend(f"> {_markdown(warning.message)}\n" for warning in transcript.warnings)
    last: str | None = ""
    for segment in transcript.segments:
        if segment.speaker != last:
            name = shown_name(transcript, segment.speaker)
            title = f"**{_markdown(name)}** " if name else ""
            out.append(f"{title}*{stamp(segment.start)}*\n")
        out.append(f"{_markdown(segment.text)}\n")
        last = segment.speaker
    return "\n".join(out)


def _markdown(text: str) -> str:
    """The text with a backslash before what CommonMark would take as a mark."""
    return _MARKDOWN.sub(lambda match: "\\" + match.group(), one_line(text))


def export_csv(transcript: Transcript) -> str:
    """Comma-separated; see `_table`."""
    return _table(transcript, ",")


def export_tsv(transcript: Transcript) -> str:
    """Tab-separated; see `_table`."""
    return _table(transcript, "\t")


def _table(transcript: Transcript, delimiter: str) -> str:
    """
    A row per segment: start, end, speaker, text; quoted as RFC 4180 says.

    Spreadsheets run cells that begin like a formula; in front of its sign goes an apostrophe
    (OWASP, CSV Injection), which is all that differs from what was said. A spreadsheet may part
    cells at other marks, as at semicolons in most of Europe, so what follows one of those counts
    as a beginning, too. To get back what was said, take one apostrophe from in front of each
    such sign.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(("start", "end", "speaker", "text"))
    for segment in transcript.segments:
        name = shown_name(transcript, segment.speaker) or ""
        times = (f"{segment.start:.3f}", f"{segment.end:.3f}")
        texts = (one_line(each) for each in (name, segment.text))
        writer.writerow((*times, *(_CELL_BEGINS[delimiter].sub(r"\1\2'", each) for each in texts)))
    return buffer.getvalue()
