"""Names and words that are code somewhere else are only names and words in every format."""

import csv
import io
import json
import re
import zipfile

import pytest
import webvtt

from meet_transcriber.core.formats import EXPORTERS, export
from meet_transcriber.core.transcript import Segment, Transcript, Word

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    '=HYPERLINK("http://x.example","a")',
    "=cmd|' /C calc'!A0",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1",
    "'=1",
    "''@x",
]
SCRIPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "![x](http://x.example/a.png)",
    "<javascript:alert(1)>",
    "&lt;script&gt;",
    "`</v><script>`",
    "--> 00:00:00.000",
    "a]]><b>",
]


def saying(text: str) -> Transcript:
    """A meeting in which somebody of this name says this."""
    words = (Word(text, 0.0, 1.0, 0.9, "SPEAKER_00"),)
    segment = Segment(words, "SPEAKER_00", "en")
    return Transcript((segment,), "en", 5.0, names={"SPEAKER_00": text})


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_no_cell_is_a_formula_to_a_spreadsheet(text: str, form: str, delimiter: str) -> None:
    written = export(saying(text), form).decode()
    _, row = csv.reader(io.StringIO(written, newline=""), delimiter=delimiter)
    for cell in row[2:]:
        assert cell.startswith("'")
        assert cell[1:] == text.strip()  # one apostrophe less is what was said


@pytest.mark.parametrize("text", ["so;=1+1", "so; -1", 'so;"=1+1;"', "so;'@x", "so;;+1", "＝1;＝1"])
@pytest.mark.parametrize(("form", "marks"), [("csv", ";"), ("tsv", ";,")])
def test_no_cell_is_a_formula_with_another_separator(text: str, form: str, marks: str) -> None:
    for mark in marks:  # as spreadsheets do in other countries
        written = export(saying(text.replace(";", mark)), form).decode()
        for cell in written.replace("\r\n", mark).split(mark):
            assert not re.match(r"[\s\"]*[=+@＝＋－＠-]", cell)


@pytest.mark.parametrize("text", ["it's -1", "a=b", "'quoted'", "1-2", "don't"])
def test_other_cells_are_unchanged(text: str) -> None:
    written = export(saying(text), "csv").decode()
    _, row = csv.reader(io.StringIO(written, newline=""))
    assert row[2:] == [text, text]


@pytest.mark.parametrize("text", SCRIPTS)
def test_markdown_shows_scripts_and_links_as_text(text: str) -> None:
    written = export(saying(text), "md").decode()
    assert not re.search(r"(?<!\\)[<\[`&]", written)


@pytest.mark.parametrize("text", SCRIPTS)
def test_subtitles_show_scripts_as_text(text: str) -> None:
    written = export(saying(text), "vtt").decode()
    inside = re.sub(r"</?v(?: [^<>]*)?>", "", written)
    assert "<" not in inside
    assert inside.count("-->") == 1
    assert len(webvtt.from_string(written).captions) == 1


@pytest.mark.parametrize("text", SCRIPTS)
def test_speech_cannot_add_markup_to_a_word_document(text: str) -> None:
    document = zipfile.ZipFile(io.BytesIO(export(saying(text), "docx"))).read("word/document.xml")
    assert b"<script" not in document
    assert b"<img" not in document


@pytest.mark.parametrize(
    "form", [name for name, each in EXPORTERS.items() if "json" in each.media_type]
)
def test_json_is_not_escaped_as_html(form: str) -> None:
    written = export(saying(SCRIPTS[0]), form).decode()
    assert EXPORTERS[form].media_type == "application/json"  # with nosniff no browser shows it
    assert SCRIPTS[0] in json.dumps(json.loads(written))
