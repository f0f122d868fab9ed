"""The loop guard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.loops import cut_loops
from meet_transcriber.core.transcript import Word


def spoken(text: str) -> list[Word]:
    return [Word(word, at * 0.3, at * 0.3 + 0.3) for at, word in enumerate(text.split())]


@pytest.mark.parametrize(
    "text",
    [
        "no no no no",
        "very very very good",
        "one one one two two two three",
        "we will we will rock you",
        "4 4 4 4 1 1 1 1 2 2 2 2 3 3 3 3",
        "",
    ],
)
def test_honest_repetition_stays(text: str) -> None:
    assert cut_loops(spoken(text)) == (tuple(spoken(text)), ())


@pytest.mark.parametrize("phrase", ["thanks", "thank you", "see you next time", "好 的"])
def test_a_loop_is_cut_to_two_and_listed(phrase: str) -> None:
    words = spoken(f"Hello {f'{phrase} ' * 30} goodbye now")
    kept, (cut,) = cut_loops(words)
    assert " ".join(word.text for word in kept) == f"Hello {phrase} {phrase} goodbye now"
    assert (cut.reason, cut.text.count(phrase)) == ("loop", 28)


def test_case_and_punctuation_do_not_hide_a_loop() -> None:
    kept, removed = cut_loops(spoken("Thank you. thank you, Thank you! " * 5))
    assert len(kept) == 4
    assert len(removed) == 1


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_nothing_is_lost_without_being_listed(letters: list[str]) -> None:
    words = spoken(" ".join(letters))
    kept, removed = cut_loops(words)
    listed = sum(len(cut.text.split()) for cut in removed)
    assert len(kept) + listed == len(words)
