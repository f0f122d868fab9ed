"""Joining two hearings of running speech."""

from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.assembly import join_at_seam
from meet_transcriber.core.transcript import Word

STEP = 0.3


def said(text: str, start: float, shift: float = 0.0) -> list[Word]:
    """Words one after another, the first at `start`; `shift` is what alignment is off by."""
    return [
        Word(word, start + at * STEP + shift, start + (at + 1) * STEP + shift)
        for at, word in enumerate(text.split())
    ]


def joined(left: list[Word], right: list[Word], seam: float) -> str:
    one, two = join_at_seam(left, right, seam)
    return " ".join(word.text for word in [*one, *two])


def test_words_that_both_heard_are_there_once() -> None:
    left = said("we will move the release to", 0.0)
    right = said("the release to Thursday next week", 0.9, 0.05)
    assert joined(left, right, 1.4) == "we will move the release to Thursday next week"


def test_a_word_that_one_side_cut_short_comes_from_the_other() -> None:
    left = said("ask the depart", 0.0)
    right = said("the department tomorrow", 0.3)
    assert joined(left, right, 0.8) == "ask the department tomorrow"


def test_case_and_punctuation_do_not_hide_a_word() -> None:
    assert joined(said("so Budget,", 0.0), said("budget is fine", 0.32), 0.4) == "so budget is fine"


def test_what_was_said_twice_stays_twice() -> None:
    left = said("no no no", 0.0)
    right = said("no no yes", 0.3)
    assert joined(left, right, 0.5) == "no no no yes"


def test_without_a_word_in_common_each_keeps_its_side() -> None:
    assert joined(said("one two three", 0.0), said("drei vier", 0.6), 0.7) == "one two drei vier"


def test_where_one_side_heard_nothing_the_other_keeps_its_own() -> None:
    words = said("only here", 0.0)
    assert join_at_seam(words, [], 0.9) == (words, [])
    assert join_at_seam([], words, 0.0) == ([], words)


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=12, max_size=40),
    st.floats(0.25, 0.75),
    st.floats(-0.1, 0.1),
)
def test_no_word_is_lost_or_doubled_wherever_the_cut_is(
    letters: list[str], share: float, shift: float
) -> None:
    # no word twice in a row, whose hearings nothing could tell apart
    text = [each for at, each in enumerate(letters) if at == 0 or each != letters[at - 1]]
    if len(text) < 8:
        return
    words = said(" ".join(f"{each}{at}" for at, each in enumerate(text)), 0.0)
    seam = words[-1].end * share
    left = [word for word in words if word.end <= seam + 1.0]
    right = [
        Word(word.text, word.start + shift, word.end + shift)
        for word in words
        if word.start >= seam - 1.0
    ]
    one, two = join_at_seam(left, right, seam)
    assert [word.text for word in [*one, *two]] == [word.text for word in words]
