"""Every response format, over a job that was worked on."""

from pathlib import Path

import pytest
import srt
import webvtt

from tests.unit.api.openai.app_fixture import TEXT, at_work, make_app, post, transcribed
from tests.unit.api.service_fixture import make_service


def test_json_has_text_languages_and_usage(tmp_path: Path) -> None:
    answer = transcribed(tmp_path)
    assert answer.status_code == 200
    assert answer.json() == {
        "text": TEXT,
        "languages": [{"code": "en"}],
        "usage": {"type": "duration", "seconds": 60},
    }


def test_log_probabilities_are_given_by_word(tmp_path: Path) -> None:
    found = transcribed(tmp_path, ("include[]", "logprobs")).json()["logprobs"]
    assert [each["token"] for each in found] == TEXT.split()
    assert {each["logprob"] for each in found} == {-0.105361}


def test_text_is_the_words_alone_and_with_speakers_a_line_each(tmp_path: Path) -> None:
    answer = transcribed(tmp_path, ("response_format", "text"))
    assert (answer.text, answer.headers["content-type"]) == (
        TEXT + "\n",
        "text/plain; charset=utf-8",
    )
    service = make_service(tmp_path / "other")
    with at_work(service):
        fields = [("response_format", "text"), ("diarization", "true")]
        lines = post(make_app(service), fields).text.splitlines()
    assert lines[:2] == ["A: word0 ends.", "B: word1 ends."]


def test_subtitles_are_plain_text_that_parsers_read(tmp_path: Path) -> None:
    found = transcribed(tmp_path / "srt", ("response_format", "srt"))
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    assert "word0" in next(srt.parse(found.text)).content
    found = transcribed(tmp_path / "vtt", ("response_format", "vtt"))
    assert "word0" in webvtt.from_string(found.text)[0].text


@pytest.mark.parametrize("asked", [(), ("word",), ("segment",), ("word", "segment")])
def test_verbose_json_has_the_times_asked_for(tmp_path: Path, asked: tuple[str, ...]) -> None:
    fields = [("timestamp_granularities[]", each) for each in asked]
    body = transcribed(tmp_path, ("response_format", "verbose_json"), *fields).json()
    assert ("words" in body, "segments" in body) == ("word" in asked, asked != ("word",))
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 60.0)


def test_diarized_json_names_speakers_by_letters(tmp_path: Path) -> None:
    body = transcribed(tmp_path, ("response_format", "diarized_json")).json()
    assert [each["speaker"] for each in body["segments"]] == ["A", "B", "A", "B", "A", "B"]
    assert body["text"].startswith("A: word0 ends.\nB: word1 ends.")
    assert body["segments"][0]["type"] == "transcript.text.segment"


def test_a_translation_says_what_it_is(tmp_path: Path) -> None:
    body = transcribed(tmp_path, ("response_format", "verbose_json"), task="translations").json()
    assert (body["task"], body["language"]) == ("translate", "english")


def test_an_ignored_field_is_reported_as_a_warning(tmp_path: Path) -> None:
    body = transcribed(tmp_path, ("temperature", "0.5")).json()
    assert [each["code"] for each in body["warnings"]] == ["temperature_ignored"]
