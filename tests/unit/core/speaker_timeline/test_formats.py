"""Timelines in every format, good, bad and hostile."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.speaker_timeline import Entry, Timeline, decoded, parse, read
from meet_transcriber.core.speaker_timeline.clock import read_moment
from tests.unit.core.speaker_timeline import samples

ENTRIES = [
    ("Ann Lee", 3.58, 9.24),
    ("Bob Ray (Guest)", 9.9, 14.0),
    ("Ann Lee", 14.5, 20.25),
]


def rounded(timeline: Timeline, zero: float = 0.0) -> list[tuple[str, float, float]]:
    return [
        (each.name, round(each.start + zero, 3), round(each.end + zero, 3))
        for each in timeline.entries
    ]


@pytest.mark.parametrize(
    "text",
    [
        samples.TEAMS_VTT,
        samples.ZOOM_VTT,
        samples.ZOOM_CSV,
        samples.JSON,
        samples.ZOOM_TIMELINE,
        samples.TEAMS_VTT.replace("\n", "\r\n"),
        samples.ZOOM_CSV.replace(",", "\t"),
        json.dumps({"speaker_timeline": json.loads(samples.JSON)}),
    ],
)
def test_each_format_says_the_same(text: str) -> None:
    assert rounded(parse(text)) == ENTRIES


def test_rttm_is_read_by_its_speaker_lines() -> None:
    assert rounded(parse(samples.RTTM)) == [
        (name.replace(" ", "_").removesuffix("_(Guest)"), start, end)
        for name, start, end in ENTRIES
    ]


def test_times_of_day_count_from_the_first() -> None:
    assert rounded(parse(samples.MEET_CSV), zero=3.58) == ENTRIES


def test_a_meeting_may_pass_midnight() -> None:
    late = "name,start,end\nAnn,11:59:50 PM,12:00:10 AM\nBob,12:00:10 AM,12:00:30 AM\n"
    assert rounded(parse(late)) == [("Ann", 0.0, 20.0), ("Bob", 20.0, 40.0)]


def test_where_only_beginnings_are_written_each_lasts_until_the_next() -> None:
    log = "time,speaker\n0:01,Ann\n0:05,Bob\n0:09,Ann\n"
    assert rounded(parse(log)) == [("Ann", 1, 5), ("Bob", 5, 9), ("Ann", 9, 14)]


def test_a_duration_stands_for_an_end() -> None:
    assert rounded(read([{"speaker": "Ann", "start": 2, "duration": 1.5}])) == [("Ann", 2, 3.5)]


def test_cues_that_name_nobody_are_passed_over() -> None:
    text = samples.ZOOM_VTT + "\n4\n00:00:21.000 --> 00:00:22.000\nthank you\n"
    assert rounded(parse(text)) == ENTRIES


def test_two_voices_in_a_cue_speak_during_all_of_it() -> None:
    cue = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v.loud Ann>Yes.</v> <v Bob>No.</v>\n"
    assert rounded(parse(cue)) == [("Ann", 1, 2), ("Bob", 1, 2)]


def test_names_are_shown_on_one_line_without_anything_invisible() -> None:
    name = "\u202eAnn\x1b[31m\n\tL\u200bee\x00"
    assert read([{"name": name, "start": 0, "end": 1}]).entries == (Entry("Ann[31m Lee", 0, 1),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "format is not known"),
        ("Dear diary,\nnothing happened.", "format is not known"),
        ("Name,Join Time,Leave Time\nAnn,10:00,11:00\n", "does not say who spoke"),
        ("name,start,end\nAnn,1,2\nBob,soon,3\n", "line 3 has 'soon' as start"),
        ("name,start,end\nAnn,5,2\n", "line 2 runs from 5.0 to 2.0 s"),
        ("name,start,end\n\x00\x1b,1,2\n", "line 2 names nobody"),
        ("name,start,end\nAnn,10:02:03 AM,10:02:05 AM\nBob,3,4\n", "times of day"),
        ("name,start,end\n", "no entry"),
        ('name,start,end\n"Ann,1,2\n' + "x" * 140_000, "is no CSV"),
        ('[{"name": "Ann", "start": 1, "end": 2},]', "line 1 is no JSON"),
        ('[{"name": "Ann", "start": 1, "end": NaN}]', "no number"),
        ('[{"name": "Ann", "start": 1' + "0" * 400 + ', "end": 2}]', "as start"),
        ('[{"name": "Ann", "start": true, "end": 2}]', "entry 1 has True as start"),
        ('[{"name": "Ann", "start": 1, "end": -2}]', "entry 1 runs"),
        ('[{"start": 1, "end": 2}]', "entry 1 has no name"),
        ('["Ann"]', "entry 1 is no object"),
        ('{"names": []}', "no list of entries"),
        ('{"timeline": [{"ts": "0:01"}]}', "event 1"),
        ("[" * 100_000, "JSON"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n", "no cue"),
        ("WEBVTT\n\nsoon --> later\n<v Ann>hello</v>\n", "line 3 has no times"),
        ("SPEAKER a 1 0.0\n", "line 1 is no RTTM: it has 4 fields"),
        (
            "SPEAKER a 1 0 1 <NA> <NA> Ann\nSPEAKER b 1 0 1 <NA> <NA> Bob\n",
            "about 2 recordings",
        ),
        (f'[{{"name": "{"A" * 201}", "start": 1, "end": 2}}]', "201 characters"),
        ("name,start,end\n" + "A,1,2\n" * 20_001, "20001 entries"),
        ("name,start,end\n" + "".join(f"A{at},1,2\n" for at in range(201)), "201 people"),
        ("x" * ((1 << 20) + 1), "more than 1024 KiB"),
        ("ü" * (1 << 19) + "x", "more than 1024 KiB"),
    ],
)
def test_what_is_no_timeline_is_refused_with_the_place(text: str, why: str) -> None:
    with pytest.raises(InvalidOptions, match="speaker_timeline") as refused:
        parse(text)
    assert why in str(refused.value)


@given(st.text() | st.text("WEBVTT\n\r-:>.<v \x00", max_size=200) | st.text('[{"ts:1, ]}\n'))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        timeline = parse(text)
    except InvalidOptions:
        return
    assert timeline.entries


@pytest.mark.parametrize("unit", ["<v ", "<v.", "Ann: ", "-->", "00:00.000 --> ", "[", '"', ",\n"])
def test_a_hostile_text_is_read_in_little_time(unit: str) -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n" if "<" in unit else ""
    started = time.perf_counter()
    with pytest.raises(InvalidOptions):
        parse(text + unit * ((1 << 20) // len(unit) - 40))
    assert time.perf_counter() - started < 5


def test_files_are_utf_8_or_utf_16_with_a_mark() -> None:
    assert decoded("\ufeffZoë".encode()) == decoded("Zoë".encode("utf-16")) == "Zoë"
    with pytest.raises(InvalidOptions, match="UTF-8"):
        decoded(b"\xff\xff\x00")
    with pytest.raises(InvalidOptions, match="1024 KiB"):
        decoded(b" " * ((2 << 20) + 1))


@pytest.mark.parametrize(
    ("text", "seconds", "of_day"),
    [
        ("83.5", 83.5, False),
        ("83,5", 83.5, False),
        ("1:23.5", 83.5, False),
        ("01:23", 83.0, False),
        ("100:00:00", 360_000.0, False),
        ("00:01:23,500", 83.5, False),
        ("10:02:03 AM", 36_123.0, True),
        ("12:00 am", 0.0, True),
        ("12:30:00\u202fp.m.", 45_000.0, True),
        ("2026-11-24T10:02:03.250Z", 36_123.25, True),
        ("2026-11-24 10:02:03+01:00", 36_123.0, True),
        ("11/24/2026, 1:02:03 PM", 46_923.0, True),
    ],
)
def test_times_are_read_as_people_and_programs_write_them(
    text: str, seconds: float, of_day: bool
) -> None:
    assert read_moment(text) == (seconds, of_day)


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-1", "1e3", "inf", "1:75", "٣"])
def test_other_things_are_no_times(text: str) -> None:
    assert read_moment(text) is None
