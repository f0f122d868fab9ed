import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import EXPORTERS, export
from meet_transcriber.core.transcript import Transcript

several = settings(max_examples=10)
GOLDEN = Path(__file__).parents[3] / "golden" / "exports"


def test_every_format_is_described() -> None:
    for exporter in EXPORTERS.values():
        assert "/" in exporter.media_type
        assert exporter.summary.endswith(".")


@pytest.mark.parametrize("form", EXPORTERS)
def test_a_meeting_is_written_like_its_golden_file(form: str, meeting: Transcript) -> None:
    golden = GOLDEN / f"{form}.{EXPORTERS[form].extension}"
    if form == "docx":  # zlib versions compress differently; python-docx reads it elsewhere
        assert golden.read_bytes()[:4] == export(meeting, form)[:4]
    else:
        assert export(meeting, form) == golden.read_bytes()


def test_json_has_a_segment_a_line_and_says_the_same_as_the_values(meeting: Transcript) -> None:
    text = export(meeting, "json").decode()
    values = {"schema_version": 1, **asdict(meeting), "languages": meeting.languages}
    assert json.loads(text) == json.loads(json.dumps(values))
    assert sum(line.startswith('{"words": ') for line in text.splitlines()) == len(meeting.segments)


@pytest.mark.parametrize("form", [form for form in EXPORTERS if form != "json"])
def test_names_are_applied_in_every_format(form: str, meeting: Transcript) -> None:
    if form != "docx":
        assert b"SPEAKER_00" not in export(meeting, form)


@pytest.mark.parametrize("form", EXPORTERS)
def test_silence_is_written_without_words(form: str) -> None:
    assert isinstance(export(Transcript(duration=5.0), form), bytes)


@pytest.mark.parametrize("form", [form for form in EXPORTERS if EXPORTERS[form].is_text])
@several
@given(data=st.data())
def test_any_text_can_be_encoded(
    data: st.DataObject, transcripts: st.SearchStrategy[Transcript], form: str
) -> None:
    text = export(data.draw(transcripts), form).decode("utf-8")
    assert "\x00" not in text


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidOptions, match="The format 'pdf' is unknown; use one of json, txt"):
        export(Transcript(), "pdf")
