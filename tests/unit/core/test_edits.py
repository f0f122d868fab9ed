"""Edits of a transcript."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.edits import Edit, EditLog, count, edited, splices, with_edits
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.languages import split_words
from meet_transcriber.core.transcript import Segment, Transcript, Turn, Word


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
    state = edited(MEETING, EditLog())
    for edit in edits:
        state = with_edits(state, [edit])
    return state.transcript


def texts(transcript: Transcript) -> list[str]:
    return [segment.text for segment in transcript.segments]


def test_words_that_stay_keep_their_times() -> None:
    words = after(Edit("text", 0, "We ship on Thursday")).segments[0].words
    assert [word.start for word in words] == [0.0, 1.0, 2.0, 3.0]
    assert [word.probability for word in words] == [None, 0.9, 0.9, None]


def test_new_words_share_the_time_of_those_they_replace() -> None:
    words = after(Edit("text", 0, "we ship it on tuesday or wednesday")).segments[0].words
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert all(word.start <= word.end <= 4.0 for word in words)
    assert {word.speaker for word in words} == {"SPEAKER_00"}
    assert any(word.estimated for word in words)


def test_a_segment_can_be_assigned_to_another_speaker() -> None:
    transcript = after(Edit("speaker", 0, speaker="SPEAKER_01"))
    assert transcript.speakers == ("SPEAKER_01",)
    assert {word.speaker for word in transcript.words} == {"SPEAKER_01"}


def test_splitting_and_merging_undo_each_other() -> None:
    apart = after(Edit("split", 0, at=2))
    assert texts(apart) == ["we ship", "on tuesday", "fine by me"]
    assert texts(after(Edit("split", 0, at=2), Edit("merge", 0))) == texts(MEETING)


def test_undo_reverts_the_latest_edit_in_effect() -> None:
    first, second = Edit("text", 0, "one"), Edit("text", 0, "two")
    assert texts(after(first, second, Edit("undo")))[0] == "one"
    assert after(first, second, Edit("undo"), Edit("undo")) == MEETING


def test_undo_needs_an_edit_in_effect() -> None:
    with pytest.raises(InvalidOptions, match="nothing to undo"):
        after(Edit("text", 0, "one"), Edit("undo"), Edit("undo"))


def test_the_log_keeps_undone_edits() -> None:
    changed = with_edits(edited(MEETING, EditLog()), [Edit("text", 0, "one")])
    undone = with_edits(changed, [Edit("undo")])
    assert [edit.kind for edit in undone.log.edits] == ["text", "undo"]
    assert undone.transcript == MEETING


def test_an_edit_leaves_other_segments_and_earlier_edits_alone() -> None:
    before = with_edits(edited(MEETING, EditLog()), [Edit("text", 1, "fine by us")])
    after_both = with_edits(before, [Edit("text", 0, "we ship it")])
    assert after_both.transcript.segments[1] is before.transcript.segments[1]
    assert after_both.text == "we ship it fine by us"


def test_names_are_given_and_removed() -> None:
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
    assert split_words("我们 ship 周二") == ["我", "们", " ship", " 周", "二"]


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1))
def test_any_text_gives_words_in_order_inside_the_segment(words: list[str]) -> None:
    text = " ".join(words)
    found = edited(MEETING, EditLog((Edit("text", 0, text),))).transcript.segments[0]
    assert [word.text for word in found.words] == split_words(text)
    times = [(word.start, word.end) for word in found.words]
    assert all(0.0 <= start <= end <= 4.0 for start, end in times)
    assert [start for start, _ in times] == sorted(start for start, _ in times)


def together(*steps: list[Edit]) -> Transcript:
    """What is left after steps of several edits."""
    state = edited(MEETING, EditLog())
    for step in steps:
        state = with_edits(state, step)
    return state.transcript


def test_edits_of_one_step_are_undone_together() -> None:
    cut_out = [Edit("split", 0, at=2), Edit("speaker", 1, speaker="SPEAKER_07")]
    transcript = together(cut_out)
    assert [each.speaker for each in transcript.segments] == [
        "SPEAKER_00", "SPEAKER_07", "SPEAKER_01"]  # fmt: skip
    assert transcript.speakers == ("SPEAKER_00", "SPEAKER_01", "SPEAKER_07")
    assert together([Edit("merge", 0)], [Edit("split", 0, at=4)], cut_out, [Edit("undo")]) == after(
        Edit("merge", 0), Edit("split", 0, at=4)
    )


def test_a_step_is_applied_completely_or_not_at_all() -> None:
    with pytest.raises(InvalidOptions, match="no segment 9"):
        together([Edit("split", 0, at=2), Edit("merge", 9)])


def test_redo_works_until_the_next_edit() -> None:
    one, two, undo, redo = (
        Edit("text", 0, "one"),
        Edit("text", 0, "two"),
        Edit("undo"),
        Edit("redo"),
    )
    assert texts(after(one, two, undo, redo))[0] == "two"
    assert texts(after(one, two, undo, undo, redo))[0] == "one"
    for edits in ((one, redo), (one, undo, two, redo), (one, undo, redo, redo)):
        with pytest.raises(InvalidOptions, match="nothing to redo"):
            after(*edits)


@pytest.mark.parametrize(
    ("said", "find", "text", "left", "hits"),
    [
        ("Jon said, Jon's (JON) jonathan", "Jon", "John", "John said, John's (JOHN) jonathan", 3),
        ("the colour, Colour", "colour", "color", "the color, Color", 2),
        ("tell Jon Smith, now", "jon smith", "Joan Smyth-Ray", "tell Joan Smyth-Ray, now", 1),
        ("New York", "new york", "Newark", "Newark", 1),
        ("Jon/Jon", "Jon", "John", "John/John", 2),
        ("C++ it is", "C++", "Rust", "Rust it is", 1),
        ("会 议 很", "会议", "大会", "大会很", 1),
        ("用 Jon 吧", "Jon", "John", "用John吧", 1),
    ],
)
def test_replace_corrects_a_name_everywhere(
    said: str, find: str, text: str, left: str, hits: int
) -> None:
    meeting = Transcript((segment(said, 0.0), segment("no", 50.0)), duration=60.0)
    edit = Edit("replace", find=find, text=text)
    transcript = with_edits(edited(meeting, EditLog()), [edit]).transcript
    assert (transcript.segments[0].text, count(meeting, edit)) == (left, hits)
    words = transcript.segments[0].words
    assert [each.start for each in words] == sorted(each.start for each in words)


def test_words_next_to_a_replacement_are_unchanged() -> None:
    words = after(Edit("replace", find="ship", text="sail")).segments[0].words
    assert [word.probability for word in words] == [0.9, None, 0.9, 0.9]


def test_replacing_a_missing_text_is_refused() -> None:
    with pytest.raises(InvalidOptions, match="whole words"):
        after(Edit("replace", find="tues", text="x"))


@pytest.mark.parametrize("to", ["SPEAKER_01", "SPEAKER_09", None])
def test_reassign_assigns_all_of_a_speaker_to_another(to: str | None) -> None:
    edit = Edit("reassign", source="SPEAKER_00", speaker=to)
    assert [each.speaker for each in after(edit).segments] == [to, "SPEAKER_01"]
    assert count(MEETING, edit) == 1
    with pytest.raises(InvalidOptions, match="Nothing in this transcript"):
        after(edit, edit)


def test_a_new_speaker_has_a_label_and_may_be_named() -> None:
    new = Edit("speaker", 1, speaker="SPEAKER_07")
    assert after(new, Edit("name", speaker="SPEAKER_07", text="Eve")).names == {"SPEAKER_07": "Eve"}
    for kind in ("speaker", "reassign"):
        with pytest.raises(InvalidOptions, match="no speaker of this recording"):
            after(Edit(kind, source="SPEAKER_00", speaker="Eve"))


A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
QUIET = replace(
    MEETING, speakers=(A, B, C), turns=(Turn(0, 4.1, A), Turn(5, 6, C), Turn(10, 12.9, B))
)
"""Somebody coughs in it: they have a turn and no words."""


def quiet_after(*edits: Edit) -> Transcript:
    state = edited(QUIET, EditLog())
    for edit in edits:
        state = with_edits(state, [edit])
    return state.transcript


@pytest.mark.parametrize(
    ("edits", "speakers", "turns"),
    [
        ([Edit("text", 0, "one")], (A, B, C), QUIET.turns),
        ([Edit("speaker", 1, speaker=B)], (A, B, C), QUIET.turns),  # they said it already
        (
            [Edit("speaker", 1, speaker=A)],
            (A, C),
            (Turn(0, 3.8, A), Turn(5, 6, C), Turn(10, 12.8, A)),
        ),
        ([Edit("speaker", 1, speaker=C)], (A, C), (Turn(0, 3.8, A), Turn(10, 12.8, C))),
        ([Edit("speaker", 1, speaker=C), Edit("undo")], (A, B, C), QUIET.turns),
        (
            [Edit("reassign", source=A, speaker=B)],
            (B, C),
            (Turn(0, 4.1, B), Turn(5, 6, C), Turn(10, 12.9, B)),
        ),
        (
            [Edit("reassign", source=C, speaker=B)],
            (A, B),
            (Turn(0, 4.1, A), Turn(5, 6, B), Turn(10, 12.9, B)),
        ),
        ([Edit("reassign", source=C)], (A, B), (Turn(0, 4.1, A), Turn(10, 12.9, B))),
        ([Edit("merge", 0)], (A, C), (Turn(0, 12.8, A), Turn(5, 6, C))),
        (
            [Edit("speaker", 1, speaker=C), Edit("speaker", 1, speaker=A)],
            (A,),
            (Turn(0, 3.8, A), Turn(10, 12.8, A)),
        ),
    ],
)
def test_speakers_and_turns_follow_words(
    edits: list[Edit], speakers: tuple[str, ...], turns: tuple[Turn, ...]
) -> None:
    transcript = quiet_after(*edits)
    assert (transcript.speakers, transcript.turns) == (speakers, turns)


def test_a_speaker_without_words_can_be_named_before_and_after_edits() -> None:
    name = Edit("name", speaker=C, text="Cleo")
    assert quiet_after(name).names == {C: "Cleo"}
    assert quiet_after(Edit("speaker", 0, speaker=B), name).names == {C: "Cleo"}
    assert count(QUIET, Edit("reassign", source=C, speaker=B)) == 1


def applied(before: Sequence[Segment], after: Sequence[Segment]) -> list[Segment]:
    """What the splices between two lists make of the first."""
    segments = list(before)
    for each in splices(before, after):
        segments[each.at : each.at + each.removed] = each.inserted
    return segments


@given(st.lists(st.integers(0, 4), max_size=8), st.lists(st.integers(0, 4), max_size=8))
def test_splices_turn_one_list_of_segments_into_another(old: list[int], new: list[int]) -> None:
    before, after = ([segment(f"word {each}", each) for each in row] for row in (old, new))
    assert applied(before, after) == after


def test_splices_leave_out_what_did_not_change() -> None:
    before = [segment(f"word {at}", float(at)) for at in range(9)]
    after = [*before]
    after[2], after[7] = segment("other", 2.0), segment("another", 7.0)
    assert [(each.at, each.removed, len(each.inserted)) for each in splices(before, after)] == [
        (2, 1, 1),
        (7, 1, 1),
    ]
    assert splices(before, before) == []
