"""Timelines in every format, good, bad and hostile."""

import contextlib
import gc
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.speaker_timeline import (
    Entry,
    Timeline,
    decode_text,
    parse_time,
    parse_timeline,
    read_timeline,
)
from tests.unit.core import timeline_samples as samples

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
def test_every_format_gives_the_same_timeline(text: str) -> None:
    assert rounded(parse_timeline(text)) == ENTRIES


def test_rttm_is_read_by_its_speaker_lines() -> None:
    assert rounded(parse_timeline(samples.RTTM)) == [
        (name.replace(" ", "_").removesuffix("_(Guest)"), start, end)
        for name, start, end in ENTRIES
    ]


def test_times_of_day_count_from_the_first() -> None:
    assert rounded(parse_timeline(samples.MEET_CSV), zero=3.58) == ENTRIES


def test_a_meeting_may_pass_midnight() -> None:
    late = "name,start,end\nAnn,11:59:50 PM,12:00:10 AM\nBob,12:00:10 AM,12:00:30 AM\n"
    assert rounded(parse_timeline(late)) == [("Ann", 0.0, 20.0), ("Bob", 20.0, 40.0)]


def test_an_entry_without_end_lasts_until_the_next() -> None:
    log = "time,speaker\n0:01,Ann\n0:05,Bob\n0:09,Ann\n"
    assert rounded(parse_timeline(log)) == [("Ann", 1, 5), ("Bob", 5, 9), ("Ann", 9, 14)]


def test_a_duration_stands_for_an_end() -> None:
    assert rounded(read_timeline([{"speaker": "Ann", "start": 2, "duration": 1.5}])) == [
        ("Ann", 2, 3.5)
    ]


def test_cues_without_a_name_are_skipped() -> None:
    text = samples.ZOOM_VTT + "\n4\n00:00:21.000 --> 00:00:22.000\nthank you\n"
    assert rounded(parse_timeline(text)) == ENTRIES


def test_two_speakers_of_a_cue_both_speak_throughout() -> None:
    cue = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v.loud Ann>Yes.</v> <v Bob>No.</v>\n"
    assert rounded(parse_timeline(cue)) == [("Ann", 1, 2), ("Bob", 1, 2)]


def test_names_have_one_line_and_no_invisible_characters() -> None:
    name = "\u202eAnn\x1b[31m\n\tL\u200bee\x00"
    assert read_timeline([{"name": name, "start": 0, "end": 1}]).entries == (
        Entry("Ann[31m Lee", 0, 1),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "format is unknown"),
        ("Dear diary,\nnothing happened.", "format is unknown"),
        ("Name,Join Time,Leave Time\nAnn,10:00,11:00\n", "does not say who spoke"),
        ("name,start,end\nAnn,1,2\nBob,soon,3\n", "line 3 has 'soon' as start"),
        ("name,start,end\nAnn,5,2\n", "line 2 runs from 5.0 to 2.0 s"),
        ("name,start,end\n\x00\x1b,1,2\n", "line 2 has an empty name"),
        ("name,start,end\nAnn,10:02:03 AM,10:02:05 AM\nBob,3,4\n", "mixes times of day"),
        ("name,start,end\n", "no entry"),
        ('name,start,end\n"Ann,1,2\n' + "x" * 140_000, "is not valid CSV"),
        ('[{"name": "Ann", "start": 1, "end": 2},]', "line 1 is not valid JSON"),
        ('[{"name": "Ann", "start": 1, "end": NaN}]', "not a finite number"),
        ('[{"name": "Ann", "start": 1' + "0" * 400 + ', "end": 2}]', "as start"),
        ('[{"name": "Ann", "start": true, "end": 2}]', "entry 1 has True as start"),
        ('[{"name": "Ann", "start": 1, "end": -2}]', "entry 1 runs"),
        ('[{"start": 1, "end": 2}]', "entry 1 has no name"),
        ('["Ann"]', "entry 1 is not an object"),
        ('{"names": []}', "not a list of entries"),
        ('{"timeline": [{"ts": "0:01"}]}', "event 1"),
        ("[" * 100_000, "nested too deeply"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n", "no cue of its WebVTT names a speaker"),
        ("WEBVTT\n\nsoon --> later\n<v Ann>hello</v>\n", "line 3 lacks a cue's start and end time"),
        ("SPEAKER a 1 0.0\n", "line 1 is not valid RTTM: it has 4 fields"),
        (
            "SPEAKER a 1 0 1 <NA> <NA> Ann\nSPEAKER b 1 0 1 <NA> <NA> Bob\n",
            "covers 2 recordings",
        ),
        ("SPEAKER a 1 0 1 x x A\n" * 20_001, "more than 20000 entries"),
        ("1 --> 2\n" * 131_000, "more than 20000 entries"),
        ('[{"name": "Ann", "start": ' + "[" * 900 + "]" * 900 + "}]", "a list as start"),
        ("WEBVTT\n\n1:00 --> 2:00\n<v &#" + "9" * 5_000 + ";>x", "5003 characters"),
        (f'[{{"name": "{"A" * 201}", "start": 1, "end": 2}}]', "201 characters"),
        ("name,start,end\n" + "A,1,2\n" * 20_001, "more than 20000 entries"),
        ("name,start,end\n" + "".join(f"A{at},1,2\n" for at in range(201)), "201 people"),
        ("x" * ((1 << 20) + 1), "larger than 1024 KiB"),
        ("ü" * (1 << 19) + "x", "larger than 1024 KiB"),
    ],
)
def test_an_invalid_timeline_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(InvalidOptions, match="speaker_timeline") as refused:
        parse_timeline(text)
    assert why in str(refused.value)


@given(st.text() | st.text("WEBVTT\n\r-:>.<v \x00", max_size=200) | st.text('[{"ts:1, ]}\n'))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        timeline = parse_timeline(text)
    except InvalidOptions:
        return
    assert timeline.entries


def cpu_seconds(text: str) -> float:
    """Of one parse, without the garbage collector, whose passes come at any moment."""
    gc.disable()
    started = time.process_time()
    with contextlib.suppress(InvalidOptions):
        parse_timeline(text)
    seconds = time.process_time() - started
    gc.enable()
    return seconds


CUE = "WEBVTT\n\n00:01.000 --> 00:02.000\n"
UNITS = (
    *(" ", "\t", "\n", "1", ",", '"', ":", ".", "-", "(", "_", "x", "\u00a0", "<", ">"),
    *(
        "<v",
        "<v ",
        "<v.",
        "<v A>",
        "-->",
        " --> ",
        "&#",
        "1 --> 2\n",
        "Ann: ",
        "A,1,2\n",
        "[",
        "{}",
    ),
)
PREFIXES = {
    "voice": CUE + "<v",
    "voice class": CUE + "<v.",
    "colon": CUE,
    "colon after a dash": CUE + "-",
    "timing": "WEBVTT\n\n1",
    "timing after the arrow": "WEBVTT\n\n1 -->",
    "RTTM": "SPEAKER ",
    "RTTM name": "SPEAKER a 1 0 1 x x ",
    "RTTM time": "SPEAKER a 1 1",
    "CSV": "name,start,end\n",
    "CSV header": "name,start,(",
    "CSV time": "name,start,end\nAnn,1",
    "CSV date": "name,start,end\nAnn,2026-11-24 1:02:03",
    "JSON": "[",
    "JSON name": '[{"name": "',
    "JSON time": '[{"name": "Ann", "start": "1',
    "nothing": "",
}


def slow_step(start: str, unit: str) -> str | None:
    """Where twice the text takes three times as long or more; doubles up to 1 MiB."""
    before = 0.0
    for size in (1 << shift for shift in range(14, 21)):
        text = start + unit * ((size - len(start.encode())) // len(unit.encode()))
        now = cpu_seconds(text)
        if before and now > 3 * max(before, 0.02):  # less is noise; again, for another process's
            now = min(now, cpu_seconds(text))
        if before and now > 3 * max(before, 0.02):
            return f"{unit!r} at {size} bytes: {before:.3f} s, then {now:.3f} s"
        before = now
    return None


@pytest.mark.parametrize("start", PREFIXES.values(), ids=PREFIXES.keys())
def test_parsing_hostile_text_takes_linear_time(start: str) -> None:
    assert [slow for unit in UNITS if (slow := slow_step(start, unit))] == []


@pytest.mark.parametrize("column", ["x", "ts,", "name,", "(", "ts"])
def test_a_wide_csv_header_does_not_slow_down_every_row(column: str) -> None:
    def table(size: int) -> str:
        header = f"name,{column * (size // 8 // len(column))},start\n"
        return header + "A,,1\n" * (size // 64)

    small, large = cpu_seconds(table(1 << 19)), cpu_seconds(table(1 << 20))
    assert large < 3 * max(small, 0.05)


def test_files_are_utf_8_or_utf_16_with_a_mark() -> None:
    assert decode_text("\ufeffZoë".encode()) == decode_text("Zoë".encode("utf-16")) == "Zoë"
    with pytest.raises(InvalidOptions, match="UTF-8"):
        decode_text(b"\xff\xff\x00")
    with pytest.raises(InvalidOptions, match="1024 KiB"):
        decode_text(b" " * ((2 << 20) + 1))


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
def test_times_are_parsed(text: str, seconds: float, of_day: bool) -> None:
    assert parse_time(text) == (seconds, of_day)


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-1", "1e3", "inf", "1:75", "٣"])
def test_other_text_is_not_a_time(text: str) -> None:
    assert parse_time(text) is None
