from pathlib import Path

import pytest

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.formats.readers import (
    read_json,
    read_rttm,
    read_stm,
    read_transcript,
    read_txt,
)
from meet_transcriber.core.transcript import Turn

RTTM = "SPEAKER x 1 1.5 2 <NA> <NA> ann <NA> <NA>\n"


def test_rttm_gives_turns_in_order() -> None:
    found = read_rttm(
        f"SPKR-INFO x 1 <NA> <NA> <NA> unknown ann\n{RTTM}" + RTTM.replace("1.5", "0.5")
    )
    assert found.turns == (Turn(0.5, 2.5, "ann"), Turn(1.5, 3.5, "ann"))
    assert (found.speakers, found.duration) == (("ann",), 3.5)


def test_stm_skips_comments_and_its_label() -> None:
    found = read_stm(";; a comment\nx 1 ann 0.0 1.0 <o,f0,female> <hm> well\nx 1 bo 1 2\n")
    assert [segment.text for segment in found.segments] == ["<hm> well"]
    assert found.speakers == ("ann", "bo")


def test_words_without_times_share_their_segment() -> None:
    words = read_stm("x 1 ann 2.0 4.0 one two").words
    assert [(word.start, word.end, word.estimated) for word in words] == [
        (2, 3, True),
        (3, 4, True),
    ]


def test_a_txt_line_ends_where_the_next_begins() -> None:
    found = read_txt(
        "[00:00:01] Ann: one two three four five\n[00:00:02] who: knows\n[01:00:00] x\n"
    )
    assert found.segments[0].end == 2.0
    assert [segment.speaker for segment in found.segments] == ["Ann", "who", None]
    assert found.segments[2].start == 3600.0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.rttm", RTTM),
        ("a.REF", RTTM),
        ("a", "[00:00:01] ann: hello"),
        ("a.stm", "x 1 ann 0 1 hello"),
        (
            "a.seglst.json",
            '[{"speaker": "ann", "words": "hi", "start_time": 0, "end_time": "1.5"}]',
        ),
        ("a.json", '\ufeff{"segments": [], "speakers": ["ann"], "unheard_of": 1}'),
    ],
)
def test_the_format_follows_from_extension_or_content(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert read_transcript(tmp_path / name).speakers == ("ann",)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.rttm", f"{RTTM}SPEAKER x 1", "Line 2 is not valid RTTM: it has 3 of 8 fields"),
        ("a.rttm", RTTM.replace("1.5", "soon"), "Line 1: 'soon' is not a number of seconds"),
        ("a.rttm", RTTM.replace("1.5", "nan"), "Line 1: 'nan' is not a time"),
        ("a.stm", "\nx 1 ann", "Line 2 is not valid STM"),
        ("a.stm", "x 1 ann 5 4 hello", "Line 1 ends at 4.0 s, before its start"),
        ("a.txt", "hello", "Line 1 does not look like"),
        ("a.json", "{\n  oops", "Line 2 is not valid JSON"),
        ("a.json", "{}", "no list of segments"),
        ("a.json", '{"segments": [{"words": [{"text": 1}]}]}', r"segments\[0\].words\[0\].text"),
        ("a.json", '{"segments": [], "schema_version": 2}', "update it"),
        ("a.json", '{"segments": [{"text": "x"}]}', "needs a start and an end"),
        ("a.json", "[1]", "Entry 0 of the SegLST is not an object"),
        ("a.json", '[{"speaker": "a"}]', "no text under 'words'"),
        ("a.json", '[{"speaker": "a", "words": "x", "start_time": []}]', "runs|no times"),
        ("a.json", '[{"speaker": "a", "words": "x", "start_time": 2, "end_time": 1}]', "runs from"),
        ("a.mp3", "abc", "has an unknown format"),
    ],
)
def test_errors_name_the_file_and_line(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(StorageError, match=sentence) as raised:
        read_transcript(tmp_path / name)
    assert name in str(raised.value)


@pytest.mark.parametrize(
    "make", [Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe\x00"), Path.exists]
)
def test_an_unreadable_file_is_an_error(tmp_path: Path, make: object) -> None:
    make(tmp_path / "a.json")  # type: ignore[operator]
    with pytest.raises(StorageError, match="Cannot read"):
        read_transcript(tmp_path / "a.json")


def test_json_of_the_first_version_needs_no_number() -> None:
    assert read_json('{"segments": []}').segments == ()
