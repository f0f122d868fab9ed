"""Our own JSON, and DOCX."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from meet_transcriber.core.formats.text import one_line, shown_name, stamp
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import Segment, Transcript

SCHEMA_VERSION = 1


def export_json(transcript: Transcript, word_times: bool = True) -> str:
    """
    Everything; `core.readers.read_json` gives an equal transcript back.

    Without word times a segment has `start`, `end` and `text` instead of `words`.
    """
    body: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for name, value in to_plain(transcript).items():
        body[name] = value
        if name == "language":
            body["languages"] = list(transcript.languages)
    if not word_times:
        body["segments"] = [
            plain_segment(segment, word_times=False) for segment in transcript.segments
        ]
    return "{\n" + ",\n".join(_lines(body)) + "\n}\n"


def _lines(body: dict[str, Any]) -> Iterator[str]:
    """A field a line, and an item of a list a line; a dump of each is quick, indenting is not."""
    for name, value in body.items():
        items = ",\n".join(map(_dumped, value)) if isinstance(value, list) else ""
        yield f" {_dumped(name)}: " + (f"[\n{items}\n ]" if items else _dumped(value))


_dumped = json.JSONEncoder(ensure_ascii=False).encode


def plain_segment(segment: Segment, word_times: bool = True) -> dict[str, Any]:
    """A segment as the json format has it."""
    if word_times:
        plain: dict[str, Any] = to_plain(segment)
        return plain
    return {
        "start": segment.start,
        "end": segment.end,
        "speaker": segment.speaker,
        "language": segment.language,
        "text": segment.text,
    }


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
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same transcript gives the same bytes


def export_docx(transcript: Transcript) -> bytes:
    """A Word document: a heading whenever the speaker changes, then what was said."""
    body = "".join(_paragraphs(transcript))
    document = f"{_HEAD}<w:document {_WORD}><w:body>{body}<w:sectPr/></w:body></w:document>"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**_FIXED, "word/document.xml": document}.items():
            info = zipfile.ZipInfo(name, _LONG_AGO)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            archive.writestr(info, text.encode())
    return buffer.getvalue()


def _paragraphs(transcript: Transcript) -> Iterator[str]:
    yield _paragraph("Transcript", "Title")
    for warning in transcript.warnings:
        yield _paragraph(warning.message, "Normal")
    last: str | None = ""
    for segment in transcript.segments:
        if segment.speaker != last:
            name = shown_name(transcript, segment.speaker)
            heading = f"{name}, {stamp(segment.start)}" if name else stamp(segment.start)
            yield _paragraph(heading, "Heading2")
        yield _paragraph(segment.text, "Normal")
        last = segment.speaker


def _paragraph(text: str, style: str) -> str:
    return (
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r>'
        f'<w:t xml:space="preserve">{escape(one_line(text))}</w:t></w:r></w:p>'
    )
