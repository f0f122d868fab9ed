"""What people change, kept beside the machine's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.edits import Edit, EditLog, edited, split_text, with_edit
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.transcript import Segment, Transcript, Word


def segment(text: str, start: float, speaker: str = "SPEAKER_00") -> Segment:
    words = tuple(
        Word(word, start + at, start + at + 0.8, 0.9, speaker)
        for at, word in enumerate(text.split())
    )
    return Segment(words, speaker, "en")


MEETING = Transcript(
    segments=(segment("we ship on tuesday", 0.0), segment("fine by me", 10.0, "SPEAKER_01")),
    duration=20.0,
    speakers=("SPEAKER_00", "SPEAKER_01"),
)


def after(*edits: Edit) -> Transcript:
    log, transcript = EditLog(), MEETING
    for edit in edits:
        log, transcript = with_edit(MEETING, log, edit)
    return transcript


def texts(transcript: Transcript) -> list[str]:
    return [segment.text for segment in transcript.segments]


def test_words_that_stay_keep_their_times() -> None:
    words = after(Edit("text", 0, "We ship on Thursday")).segments[0].words
    assert [word.start for word in words] == [0.0, 1.0, 2.0, 3.0]
    assert [word.probability for word in words] == [None, 0.9, 0.9, None]


def test_words_that_came_in_share_the_time_of_those_they_replace() -> None:
    words = after(Edit("text", 0, "we ship it on tuesday or wednesday")).segments[0].words
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert all(word.start <= word.end <= 4.0 for word in words)
    assert {word.speaker for word in words} == {"SPEAKER_00"}
    assert any(word.estimated for word in words)


def test_a_segment_can_be_given_to_somebody_else() -> None:
    transcript = after(Edit("speaker", 0, speaker="SPEAKER_01"))
    assert transcript.speakers == ("SPEAKER_01",)
    assert {word.speaker for word in transcript.words} == {"SPEAKER_01"}


def test_splitting_and_merging_undo_each_other() -> None:
    apart = after(Edit("split", 0, at=2))
    assert texts(apart) == ["we ship", "on tuesday", "fine by me"]
    assert texts(after(Edit("split", 0, at=2), Edit("merge", 0))) == texts(MEETING)


def test_undo_takes_back_the_latest_that_stands() -> None:
    first, second = Edit("text", 0, "one"), Edit("text", 0, "two")
    assert texts(after(first, second, Edit("undo")))[0] == "one"
    assert after(first, second, Edit("undo"), Edit("undo")) == MEETING


def test_there_must_be_something_to_undo() -> None:
    with pytest.raises(InvalidOptions, match="nothing to undo"):
        after(Edit("text", 0, "one"), Edit("undo"), Edit("undo"))


def test_the_log_keeps_what_was_undone() -> None:
    log, _ = with_edit(MEETING, EditLog(), Edit("text", 0, "one"))
    log, transcript = with_edit(MEETING, log, Edit("undo"))
    assert [edit.kind for edit in log.edits] == ["text", "undo"]
    assert transcript == MEETING


def test_people_get_names_and_lose_them() -> None:
    named = after(Edit("name", speaker="SPEAKER_01", text=" Ann "))
    assert named.name_of("SPEAKER_01") == "Ann"
    assert after(Edit("name", speaker="SPEAKER_01", text="Ann"), Edit("name", speaker="SPEAKER_01"))
    with pytest.raises(InvalidOptions, match="SPEAKER_00, SPEAKER_01"):
        after(Edit("name", speaker="SPEAKER_07", text="Bob"))


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (Edit("text", 2, "x"), "no segment 2"),
        (Edit("text", -1, "x"), "no segment -1"),
        (Edit("text", 0, "  "), "1 to 10000 characters"),
        (Edit("text", 0, "x" * 10_001), "1 to 10000 characters"),
        (Edit("split", 0, at=0), "before word 1 to 3"),
        (Edit("split", 0, at=4), "before word 1 to 3"),
        (Edit("merge", 1), "no next one"),
    ],
)
def test_an_edit_that_does_not_fit_says_why(edit: Edit, why: str) -> None:
    with pytest.raises(InvalidOptions, match=why):
        after(edit)


def test_chinese_is_split_by_character() -> None:
    assert split_text("我们 ship 周二") == ["我", "们", "ship", "周", "二"]


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1))
def test_any_text_gives_words_in_order_inside_the_segment(words: list[str]) -> None:
    text = " ".join(words)
    found = edited(MEETING, EditLog((Edit("text", 0, text),))).segments[0]
    assert [word.text for word in found.words] == split_text(text)
    times = [(word.start, word.end) for word in found.words]
    assert all(0.0 <= start <= end <= 4.0 for start, end in times)
    assert [start for start, _ in times] == sorted(start for start, _ in times)
