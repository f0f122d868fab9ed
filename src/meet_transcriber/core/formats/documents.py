"""Text, tables, minutes, scoring formats, JSON and Word."""

import csv
import html
import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import Transcript, Turn

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]+")
_MARKDOWN = re.compile(r"[\\`*<\[\]~&]|(?<!\w)_|_(?!\w)|^[-+#>=]|(?<=^\d)[.)]|(?<=^\d\d)[.)]")
_CELL_BEGINS = {
    delimiter: re.compile(rf"(^|[{others}])([\s\"']*)(?=[=+@＝＋－＠-])")
    for delimiter, others in {",": ";", "\t": ";,"}.items()
}
"""Where a spreadsheet may see a formula: at the start of a cell and after other separators."""


def to_single_line(text: str) -> str:
    """Replace line breaks and control characters by spaces."""
    return _CONTROL.sub(" ", text).strip()


def display_name(transcript: Transcript, speaker: str | None) -> str | None:
    """Return a speaker's name on one line, the label if it is empty, None for None."""
    if speaker is None:
        return None
    name = " ".join(to_single_line(transcript.name_of(speaker) or "").split())
    return name or to_single_line(speaker) or None


def format_time(seconds: float) -> str:
    """Format as `HH:MM:SS`, rounded down."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def export_txt(transcript: Transcript) -> str:
    """One line per segment: `[00:00:01] SPEAKER_00: Shall we start?`"""
    lines = []
    for segment in transcript.segments:
        name = display_name(transcript, segment.speaker)
        who = f"{name}: " if name else ""
        lines.append(f"[{format_time(segment.start)}] {who}{to_single_line(segment.text)}\n")
    return "".join(lines)


def export_md(transcript: Transcript) -> str:
    """Markdown: warnings first, then a heading whenever the speaker changes."""
    out = ["# Transcript\n"]
    if transcript.speakers:
        names = (_markdown(display_name(transcript, label) or "") for label in transcript.speakers)
        out.append(f"Speakers: {', '.join(names)}\n")
    out.extend(f"> {_markdown(warning.message)}\n" for warning in transcript.warnings)
    last: str | None = ""
    for segment in transcript.segments:
        if segment.speaker != last:
            name = display_name(transcript, segment.speaker)
            title = f"**{_markdown(name)}** " if name else ""
            out.append(f"{title}*{format_time(segment.start)}*\n")
        out.append(f"{_markdown(segment.text)}\n")
        last = segment.speaker
    return "\n".join(out)


def _markdown(text: str) -> str:
    """Escape CommonMark markup."""
    return _MARKDOWN.sub(lambda match: "\\" + match.group(), to_single_line(text))


def export_table(transcript: Transcript, delimiter: str) -> str:
    """
    One row per segment: start, end, speaker, text; quoted as in RFC 4180.

    Spreadsheets run cells that start like a formula, so an apostrophe is put before its sign
    (OWASP, CSV Injection). Spreadsheets may split cells at other separators, such as semicolons in
    most of Europe, so the start of text after one of those is treated likewise. To restore the
    text, remove one apostrophe before each such sign.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(("start", "end", "speaker", "text"))
    for segment in transcript.segments:
        name = display_name(transcript, segment.speaker) or ""
        times = (f"{segment.start:.3f}", f"{segment.end:.3f}")
        texts = (to_single_line(each) for each in (name, segment.text))
        writer.writerow((*times, *(_CELL_BEGINS[delimiter].sub(r"\1\2'", each) for each in texts)))
    return buffer.getvalue()


RECORDING = "recording"
"""Name of the recording in scoring formats, which allow no spaces."""

UNKNOWN = "unknown"
"""An unknown speaker in formats that require one; readers turn it back into None."""


def export_rttm(transcript: Transcript) -> str:
    """One SPEAKER line per turn (NIST RT-09), per segment for speakers without turns."""
    with_turns = {turn.speaker for turn in transcript.turns}
    segments = (
        Turn(segment.start, segment.end, segment.speaker)
        for segment in transcript.segments
        if segment.speaker and segment.speaker not in with_turns
    )
    turns = sorted((*transcript.turns, *segments), key=lambda turn: turn.start)
    return "".join(
        f"SPEAKER {RECORDING} 1 {turn.start:.3f} {turn.duration:.3f} <NA> <NA> "
        f"{_token(display_name(transcript, turn.speaker))} <NA> <NA>\n"
        for turn in turns
    )


def export_stm(transcript: Transcript) -> str:
    """One line per segment: recording, channel, speaker, start, end, text (NIST sctk)."""
    return "".join(
        f"{RECORDING} 1 {_token(display_name(transcript, segment.speaker))} "
        f"{segment.start:.3f} {segment.end:.3f} {to_single_line(segment.text)}\n"
        for segment in transcript.segments
    )


def export_seglst(transcript: Transcript) -> str:
    """SegLST, the JSON format of the CHiME challenges and meeteval."""
    rows = [
        {
            "session_id": RECORDING,
            "speaker": display_name(transcript, segment.speaker) or UNKNOWN,
            "start_time": round(segment.start, 3),
            "end_time": round(segment.end, 3),
            "words": to_single_line(segment.text),
        }
        for segment in transcript.segments
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _token(name: str | None) -> str:
    """Replace spaces in a name; `UNKNOWN` for None."""
    return re.sub(r"[\s;]+", "_", name) if name else UNKNOWN


SCHEMA_VERSION = 1


def export_json(transcript: Transcript, word_times: bool = True) -> str:
    """
    The complete transcript; `readers.read_json` restores it.

    Without word times a segment has `start`, `end` and `text` instead of `words`.
    """
    body: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for name, value in to_plain(transcript).items():
        body[name] = value
        if name == "language":
            body["languages"] = list(transcript.languages)
    if not word_times:
        body["segments"] = [each.without_words() for each in transcript.segments]
    lines = []
    for name, value in body.items():  # a line per list item; indenting with `json` is much slower
        items = ",\n".join(map(_dumped, value)) if isinstance(value, list) else ""
        lines.append(f" {_dumped(name)}: " + (f"[\n{items}\n ]" if items else _dumped(value)))
    return "{\n" + ",\n".join(lines) + "\n}\n"


_dumped = json.JSONEncoder(ensure_ascii=False).encode


_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_FIXED = {
    "[Content_Types].xml": (
        f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{_TYPE}.document.main+xml"/>'
        f'<Override PartName="/word/styles.xml" ContentType="{_TYPE}.styles+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>'
    ),
    "word/_rels/document.xml.rels": (
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
    ),
    "word/styles.xml": (
        f"{_HEAD}<w:styles {_WORD}>"
        '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/>'
        '<w:pPr><w:spacing w:after="120"/></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/>'
        '<w:rPr><w:b/><w:sz w:val="36"/></w:rPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Heading2"><w:name w:val="heading 2"/>'
        '<w:pPr><w:keepNext/><w:spacing w:before="200" w:after="40"/></w:pPr>'
        '<w:rPr><w:b/><w:sz w:val="24"/></w:rPr></w:style></w:styles>'
    ),
}
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # fixed, so that equal transcripts give equal bytes


def export_docx(transcript: Transcript) -> bytes:
    """A Word document with a heading whenever the speaker changes."""
    body = "".join(_paragraphs(transcript))
    document = f"{_HEAD}<w:document {_WORD}><w:body>{body}<w:sectPr/></w:body></w:document>"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**_FIXED, "word/document.xml": document}.items():
            info = zipfile.ZipInfo(name, _FIXED_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix; the default depends on the platform
            archive.writestr(info, text.encode())
    return buffer.getvalue()


def _paragraphs(transcript: Transcript) -> Iterator[str]:
    yield _paragraph("Transcript", "Title")
    for warning in transcript.warnings:
        yield _paragraph(warning.message, "Normal")
    last: str | None = ""
    for segment in transcript.segments:
        if segment.speaker != last:
            name = display_name(transcript, segment.speaker)
            time = format_time(segment.start)
            yield _paragraph(f"{name}, {time}" if name else time, "Heading2")
        yield _paragraph(segment.text, "Normal")
        last = segment.speaker


def _paragraph(text: str, style: str) -> str:
    escaped = html.escape(to_single_line(text), quote=False)
    return (
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r>'
        f'<w:t xml:space="preserve">{escaped}</w:t></w:r></w:p>'
    )
