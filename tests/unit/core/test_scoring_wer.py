"""Word errors, cpWER and the words that are compared."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.scoring import (
    WordErrors,
    all_words,
    cp_word_errors,
    edit_distance,
    normalize,
    word_errors,
    words_by_speaker,
)
from meet_transcriber.core.transcript import Segment, Transcript, Word

words = st.lists(st.sampled_from("abcd"), max_size=30)
speakers = st.dictionaries(st.sampled_from("ABCDE"), words, max_size=4)


def _segment(text: str, speaker: str | None) -> Segment:
    return Segment((Word(text, 0, 1),), speaker)


def test_an_empty_reference_has_rate_zero_or_one() -> None:
    assert word_errors([], []).rate == 0
    assert word_errors([], ["made", "up", "words"]).rate == 1


def test_the_rate_may_exceed_one() -> None:
    assert word_errors(["no"], ["well", "i", "think"]).rate == 3


def test_each_kind_of_error_is_counted() -> None:
    found = word_errors(
        ["we", "meet", "on", "monday", "at", "ten"], ["we", "met", "monday", "at", "ten", "sharp"]
    )
    assert found == WordErrors(hits=4, substitutions=1, deletions=1, insertions=1)


@given(words, words)
def test_counts_make_up_both_texts(reference: list[str], hypothesis: list[str]) -> None:
    found = word_errors(reference, hypothesis)
    assert found.total == len(reference)
    assert found.hits + found.substitutions + found.insertions == len(hypothesis)
    assert found.errors == edit_distance(reference, hypothesis)
    assert min(found.hits, found.substitutions, found.deletions, found.insertions) >= 0


@given(words, words)
def test_errors_are_as_many_the_other_way_round(one: list[str], other: list[str]) -> None:
    assert word_errors(one, other).errors == word_errors(other, one).errors


@given(words)
def test_a_text_has_no_errors_against_itself(text: list[str]) -> None:
    assert word_errors(text, text) == WordErrors(hits=len(text))


@given(words, words, words)
def test_errors_keep_the_triangle_inequality(
    one: list[str], two: list[str], far: list[str]
) -> None:
    assert edit_distance(one, far) <= edit_distance(one, two) + edit_distance(two, far)


def test_long_texts_are_halved_without_losing_a_word() -> None:
    reference = [f"w{place % 97}" for place in range(9_000)]
    hypothesis = ["new" if place % 10 == 0 else word for place, word in enumerate(reference)]
    del hypothesis[5::1000]
    found = word_errors(reference, hypothesis)
    assert (found.errors, found.deletions - found.insertions) == (909, 9)
    assert found.hits + found.substitutions + found.deletions == 9_000


def test_memory_stays_far_below_a_table_of_distances() -> None:
    reference = [f"w{place % 97}" for place in range(9_000)]
    tracemalloc.start()
    word_errors(reference, reference[::-1])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < len(reference) ** 2 / 4


def test_counts_add_up_over_recordings() -> None:
    both = WordErrors(5, 1, 2, 3) + WordErrors(1, 1, 1, 1)
    assert (both, both.rate) == (WordErrors(6, 2, 3, 4), 9 / 11)


def test_labels_do_not_matter_to_cpwer() -> None:
    said = {"Ann": ["yes", "please"], "Bob": ["no"]}
    assert cp_word_errors(said, {"S0": ["no"], "S1": ["yes", "please"]}).errors == 0


def test_cpwer_with_nobody_is_empty() -> None:
    assert cp_word_errors({}, {}) == WordErrors()
    assert cp_word_errors({}, {"S0": ["hello"]}) == WordErrors(insertions=1)
    assert cp_word_errors({"Ann": ["hello"]}, {}) == WordErrors(deletions=1)


def test_words_without_a_speaker_do_not_vanish() -> None:
    transcript = Transcript((_segment("Hello", "SPEAKER_00"), _segment("there", None)))
    assert words_by_speaker(transcript) == {"SPEAKER_00": ["hello"], "": ["there"]}
    found = cp_word_errors({"Ann": ["hello", "there"]}, words_by_speaker(transcript))
    assert (found.deletions, found.insertions) == (1, 1)


@given(speakers, speakers)
def test_cpwer_counts_every_word(said: dict[str, list[str]], heard: dict[str, list[str]]) -> None:
    found = cp_word_errors(said, heard)
    assert found.total == sum(map(len, said.values()))
    assert found.hits + found.substitutions + found.insertions == sum(map(len, heard.values()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well, YES!", ["well", "yes"]),
        ("don’t ‘quote’ me", ["don't", "quote", "me"]),
        ("a - b\t c\n", ["a", "b", "c"]),
        ("ÉCOLE Straße", ["école", "strasse"]),
        ("e\u0301cole", ["école"]),
        ("今天开会", ["今", "天", "开", "会"]),
        ("用 Python 写", ["用", "python", "写"]),
        ("--- '' …", []),
    ],
)
def test_text_is_compared_without_case_and_punctuation(text: str, expected: list[str]) -> None:
    assert normalize(text) == expected


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize(text)
    assert normalize(" ".join(once)) == once


def test_all_words_come_in_the_order_of_their_segments() -> None:
    transcript = Transcript((_segment("First.", "B"), _segment("Second,", None)))
    assert all_words(transcript) == ["first", "second"]
