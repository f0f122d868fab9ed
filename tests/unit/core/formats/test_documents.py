import io
import json
import math
import zipfile
from dataclasses import replace
from typing import Any

import docx
import pytest
from docx.text.paragraph import Paragraph
from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.formats import export
from meet_transcriber.core.formats.documents import to_single_line
from meet_transcriber.core.formats.openai_json import plain_body, verbose_body, word_logprobs
from meet_transcriber.core.formats.readers import read_json
from meet_transcriber.core.transcript import Segment, Transcript, Word

Strategy = st.SearchStrategy[Transcript]
several = settings(max_examples=25)


def parsed(transcript: Transcript, form: str, **options: bool) -> Any:
    return json.loads(export(transcript, form, **options))


def _style(paragraph: Paragraph) -> str | None:
    return paragraph.style.name if paragraph.style else None


@several
@given(data=st.data())
def test_json_reads_back_equal(data: st.DataObject, transcripts: Strategy) -> None:
    transcript = data.draw(transcripts)
    assert read_json(export(transcript, "json").decode()) == transcript


def test_json_keeps_everything(meeting: Transcript) -> None:
    assert read_json(export(meeting, "json").decode()) == meeting
    assert parsed(meeting, "json")["schema_version"] == 1


def test_json_without_word_times_still_reads_back(meeting: Transcript) -> None:
    written = export(meeting, "json", word_timestamps=False).decode()
    found = read_json(written)
    assert '"words"' not in written
    assert [segment.text for segment in found.segments] == [s.text for s in meeting.segments]
    assert all(word.estimated for word in found.words)


def test_verbose_json_has_openai_fields(meeting: Transcript) -> None:
    body = parsed(meeting, "verbose_json")
    assert set(body) == {"task", "language", "duration", "text", "segments", "words", "usage"}
    assert (body["task"], body["language"]) == ("transcribe", "english")
    assert body["usage"] == {"type": "duration", "seconds": 20}
    openai = (
        "id seek start end text tokens temperature avg_logprob compression_ratio no_speech_prob"
    )
    assert set(openai.split()) <= set(body["segments"][0])
    assert {"word", "start", "end"} <= set(body["words"][0])


def test_verbose_json_has_the_mean_log_probability_of_words(meeting: Transcript) -> None:
    body = parsed(meeting, "verbose_json")
    assert body["segments"][0]["avg_logprob"] == pytest.approx(math.log(0.9), abs=1e-4)
    silent = replace(meeting, segments=(Segment((Word("Yes.", 0.0, 1.0),)),))
    assert parsed(silent, "verbose_json")["segments"][0]["avg_logprob"] == 0.0


def test_a_translation_is_english_whatever_was_spoken(meeting: Transcript) -> None:
    body = verbose_body(replace(meeting, language="de"), "translate", segments=False, words=False)
    assert (body["task"], body["language"]) == ("translate", "english")
    assert not {"segments", "words"} & set(body)


def test_log_probabilities_are_those_of_words() -> None:
    words = [Word("é", 0, 1, 0.5), Word("b", 1, 2, 0.0), Word("c", 2, 3)]
    found = word_logprobs(words)
    assert [item["logprob"] for item in found] == [-0.693147, -9999.0, None]
    assert (found[0]["token"], found[0]["bytes"]) == ("é", [0xC3, 0xA9])


def test_plain_json_names_the_languages_heard() -> None:
    segments = [Segment((Word("a", 0, 1),), None, code) for code in ("de", "en", "de", None)]
    assert plain_body(Transcript(tuple(segments)))["languages"] == [{"code": "de"}, {"code": "en"}]


def test_verbose_json_names_the_speaker_and_may_leave_words_out(meeting: Transcript) -> None:
    body = parsed(meeting, "verbose_json", word_timestamps=False)
    assert "words" not in body
    assert [segment["speaker"] for segment in body["segments"]] == [
        "Ann <Lee>",
        "SPEAKER_01",
        "Bo & Co",
        None,
        "Ann <Lee>",
    ]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("de", "german"),
        ("yue", "cantonese"),
        ("ht", "haitian creole"),
        ("xx", "xx"),
        (None, "unknown"),
    ],
)
def test_verbose_json_spells_the_language_out(code: str | None, name: str) -> None:
    assert parsed(Transcript(language=code), "verbose_json")["language"] == name


def test_diarized_json_gives_letters_to_people_without_a_name(meeting: Transcript) -> None:
    body = parsed(meeting, "diarized_json")
    assert [segment["speaker"] for segment in body["segments"]] == [
        "Ann <Lee>",
        "B",
        "Bo & Co",
        None,
        "Ann <Lee>",
    ]
    assert body["segments"][0]["id"] == "seg_001"
    assert body["segments"][0]["type"] == "transcript.text.segment"
    assert body["text"].splitlines()[3] == "Hello, is anybody there?"


def test_letters_go_on_after_z() -> None:
    labels = [f"SPEAKER_{at:02d}" for at in range(28)]
    segments = tuple(Segment((Word("a", at, at + 1),), label) for at, label in enumerate(labels))
    speakers = [
        item["speaker"] for item in parsed(Transcript(segments), "diarized_json")["segments"]
    ]
    assert speakers[:2] + speakers[25:] == ["A", "B", "Z", "AA", "AB"]


@several
@given(data=st.data())
def test_python_docx_reads_every_segment(data: st.DataObject, transcripts: Strategy) -> None:
    transcript = data.draw(transcripts)
    document = docx.Document(io.BytesIO(export(transcript, "docx")))
    said = [item.text for item in document.paragraphs if _style(item) == "Normal"]
    assert said == [to_single_line(segment.text) for segment in transcript.segments]


def test_docx_has_a_title_and_a_heading_per_change_of_speaker(meeting: Transcript) -> None:
    paragraphs = docx.Document(io.BytesIO(export(meeting, "docx"))).paragraphs
    assert (paragraphs[0].text, _style(paragraphs[0])) == ("Transcript", "Title")
    headings = [item.text for item in paragraphs if _style(item) == "Heading 2"]
    assert headings[:2] == ["Ann <Lee>, 00:00:01", "SPEAKER_01, 00:00:04"]
    assert headings[3] == "00:00:09"


def test_docx_has_the_same_bytes_each_time(meeting: Transcript) -> None:
    first = export(meeting, "docx")
    assert first == export(replace(meeting), "docx")
    assert zipfile.ZipFile(io.BytesIO(first)).testzip() is None
