"""The loop guard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.repetition import cut_loops, find_missing_repetitions, place_repetitions
from meet_transcriber.core.transcript import Span, Word


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


def apart(text: str, pause: float, speakers: str = "a") -> list[Word]:
    """Words with a pause after each, by the speakers in turn."""
    return [
        Word(word, at * (0.4 + pause), at * (0.4 + pause) + 0.4, None, speakers[at % len(speakers)])
        for at, word in enumerate(text.split())
    ]


def test_votes_that_are_said_apart_stay() -> None:
    votes = apart("Yes. " * 10, 0.8)
    assert cut_loops(votes) == (tuple(votes), ())


def test_votes_of_several_people_without_a_pause_stay() -> None:
    votes = apart("Yes. " * 10, 0.05, "abcd")
    assert cut_loops(votes) == (tuple(votes), ())


def test_one_speaker_without_a_pause_is_a_loop() -> None:
    kept, (cut,) = cut_loops(apart("Yes. " * 10, 0.05))
    assert (len(kept), cut.text.count("Yes.")) == (2, 8)


def test_each_stretch_of_speech_gets_its_own_vote() -> None:
    speech = [Span(at * 2.0, at * 2.0 + 0.6) for at in range(6)]
    crowded = [Word("Yes.", 0.1, 0.3), Word("yes.", 0.3, 0.5)]
    crowded += [Word("Yes.", at * 2.0 + 0.1, at * 2.0 + 0.5) for at in range(2, 6)]
    settled, removed = place_repetitions(crowded, speech)
    assert [any(s.start <= w.start < w.end <= s.end for w in settled) for s in speech] == [True] * 6
    assert removed == ()


def test_a_vote_too_many_is_removed_and_told() -> None:
    speech = [Span(at * 2.0, at * 2.0 + 0.6) for at in range(5)]
    words = [Word("Yes.", at * 1.6, at * 1.6 + 0.3) for at in range(6)]
    settled, removed = place_repetitions(words, speech)
    assert (len(settled), [each.text for each in removed]) == (5, ["Yes."])


def test_a_vote_without_time_of_its_own_beside_another_is_removed_and_told() -> None:
    speech = [Span(at * 2.0, at * 2.0 + 0.8) for at in range(5)]
    said = [Word("Yes.", at * 2.0, at * 2.0 + 0.4) for at in range(5)]
    squeezed = [Word("Yes.", 2.75, 2.8), Word("Yes.", 4.75, 4.8)]
    words = sorted([*said, *squeezed], key=lambda word: word.start)
    settled, removed = place_repetitions(words, speech)
    assert list(settled) == said
    assert [cut.start for cut in removed] == [2.75, 4.75]


def test_a_stretch_that_no_vote_has_is_named_with_the_word() -> None:
    speech = [Span(at * 2.0, at * 2.0 + 0.6) for at in range(6)]
    words = [Word("Yes.", at * 2.0, at * 2.0 + 0.4) for at in (0, 1, 3, 4)]
    assert find_missing_repetitions(words, speech) == [(speech[2], "Yes."), (speech[5], "Yes.")]
    other = [*words, Word("Thanks", 10.0, 10.5)]
    assert find_missing_repetitions(other, speech) == [(speech[2], "Yes.")]


def test_other_words_are_left_where_they_are() -> None:
    words = tuple(apart("one two three four five six", 0.5))
    assert place_repetitions(words, [Span(0, 10)]) == (words, ())
