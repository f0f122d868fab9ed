import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.formats import export
from meet_transcriber.core.formats.documents import display_name, to_single_line
from meet_transcriber.core.formats.readers import read_txt
from meet_transcriber.core.transcript import Segment, Transcript, Word

Strategy = st.SearchStrategy[Transcript]
several = settings(max_examples=25)


def one(text: str, speaker: str | None = None) -> Transcript:
    return Transcript((Segment((Word(text, 61.9, 63.0),), speaker),))


def rows(transcript: Transcript, form: str) -> list[list[str]]:
    delimiter = {"csv": ",", "tsv": "\t"}[form]
    text = export(transcript, form).decode()
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_txt_is_a_line_per_segment(meeting: Transcript) -> None:
    lines = export(meeting, "txt").decode().splitlines()
    assert lines[0] == "[00:00:01] Ann <Lee>: Shall we start with the release?"
    assert lines[3] == "[00:00:09] Hello, is anybody there?"


@several
@given(data=st.data())
def test_txt_has_as_many_lines_as_segments(data: st.DataObject, transcripts: Strategy) -> None:
    transcript = data.draw(transcripts)
    lines = export(transcript, "txt").decode().splitlines()
    assert len(lines) == len(transcript.segments)


def test_txt_reads_back_with_its_speakers(meeting: Transcript) -> None:
    found = read_txt(export(meeting, "txt").decode())
    assert found.speakers == ("Ann <Lee>", "SPEAKER_01", "Bo & Co")
    assert found.text.split()[:5] == meeting.text.split()[:5]


@pytest.mark.parametrize("form", ["csv", "tsv"])
@several
@given(data=st.data())
def test_tables_read_back_row_for_row(
    data: st.DataObject, transcripts: Strategy, form: str
) -> None:
    transcript = data.draw(transcripts)
    head, *body = rows(transcript, form)
    assert head == ["start", "end", "speaker", "text"]
    for row, segment in zip(body, transcript.segments, strict=True):
        assert abs(float(row[0]) - segment.start) <= 0.0006
        assert as_said(row[3], form) == to_single_line(segment.text)
        assert as_said(row[2], form) == (display_name(transcript, segment.speaker) or "")


def as_said(cell: str, form: str) -> str:
    """A cell without the apostrophes that keep spreadsheets from running it."""
    others = {"csv": ";", "tsv": ";,"}[form]
    return re.sub(rf"(^|[{others}])([\s\"']*)'(?=[=+@＝＋－＠-])", r"\1\2", cell)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "＝"])
def test_no_cell_begins_like_a_formula(start: str) -> None:
    ((_, _, speaker, text),) = rows(one(f"{start}HYPERLINK(1)", f"{start}x"), "csv")[1:]
    assert text.startswith("'")
    assert speaker.startswith("'")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("# no heading", r"\# no heading"),
        ("- no item", r"\- no item"),
        ("12. no list", r"12\. no list"),
        ("*loud* `code`", r"\*loud\* \`code\`"),
        ("<b> &lt;", r"\<b> \&lt;"),
        ("[a](b)", r"\[a\](b)"),
        ("_so_ snake_case", r"\_so\_ snake_case"),
        ("well-known, 1.5!", "well-known, 1.5!"),
    ],
)
def test_markdown_marks_in_speech_stay_speech(text: str, written: str) -> None:
    assert export(one(text), "md").decode().endswith(f"*00:01:01*\n\n{written}\n")


def test_markdown_names_a_speaker_once_in_a_row(meeting: Transcript) -> None:
    text = export(meeting, "md").decode()
    assert "> One speaker has very few words." in text
    assert len(re.findall(r"^\*\*.+\*\* \*", text, re.MULTILINE)) == 4


def test_a_name_of_control_characters_falls_back_to_the_label() -> None:
    transcript = Transcript(speakers=("S",), names={"S": "\x00 \n"})
    assert display_name(transcript, "S") == "S"
