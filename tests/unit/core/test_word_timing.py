"""Words from pieces, and their times put right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.transcript import Span, Word
from meet_transcriber.core.word_timing import (
    RawWord,
    SpeechClock,
    extend_to_pauses,
    find_sparse_spans,
    fit_words,
    have_collapsed,
    join_pieces,
)


def words_of(raw: list[RawWord], *speech: Span) -> tuple[Word, ...]:
    return fit_words(join_pieces(raw), speech or (Span(0, 30),))


def texts(*pieces: str) -> list[str]:
    return [word.text for word in join_pieces([RawWord(piece) for piece in pieces])]


# -- words -------------------------------------------------------------------------------------


def test_pieces_without_a_space_belong_to_the_word_before() -> None:
    raw = [RawWord(" twenty", 0, 1, 0.9), RawWord("-five", 1, 1.5, 0.5), RawWord(" men", 1.5, 2)]
    words = words_of(raw)
    assert [(word.text, word.end) for word in words] == [("twenty-five", 1.5), ("men", 2)]
    assert words[0].probability == 0.5


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["今天", "开会"], ["今天", "开会"]),
        ([" Wir", " sagen", " «", "Ja", "»", "."], ["Wir", "sagen", "«Ja»."]),
        ([" L", "'", "été"], ["L'été"]),
        (["ก", "ิน", " ข้าว"], ["กิน", " ข้าว"]),  # a vowel sign above, and a phrase's space
        ([" कि", "ता", "ब"], ["किताब"]),
        (["我", "用", " Python", " 写"], ["我", "用", " Python", " 写"]),
        ([" നന്ദി", " അവന്", " പറഞ്ഞു"], ["നന്ദി", "അവന്", "പറഞ്ഞു"]),  # a word ends in a stacker
        (["「", "はい", "」", "と"], ["「はい」", "と"]),
        ([" 안녕", "하세요", " 여러분"], ["안녕하세요", "여러분"]),
        ([" שָׁל", "וֹם"], ["שָׁלוֹם"]),
    ],
)
def test_pieces_become_the_words_of_their_script(pieces: list[str], words: list[str]) -> None:
    assert texts(*pieces) == words


def test_punctuation_takes_no_time_and_its_pause_is_not_part_of_the_word() -> None:
    (word,) = words_of([RawWord(" Yes", 1.0, 1.4), RawWord(".", 3.0, 3.2)])
    assert (word.text, word.start, word.end) == ("Yes.", 1.0, 1.4)


# -- times -------------------------------------------------------------------------------------


def test_missing_times_are_spread_and_marked() -> None:
    raw = [RawWord(" costs", 0, 1), RawWord(" $43,000"), RawWord(" today", 3, 4)]
    price = words_of(raw, Span(0, 4))[1]
    assert (price.start, price.estimated) == (1, True)
    assert 1 < price.end <= 3


def test_a_word_that_swallowed_other_sound_is_cut() -> None:
    (word,) = words_of([RawWord(" so", 0, 12)], Span(0, 20))
    assert word.end - word.start < 2


def test_words_at_one_instant_share_the_time_around_them_and_are_marked() -> None:
    raw = [RawWord(" Well", 0.0, 0.4), *(RawWord(" words", 9.98, 9.98) for _ in range(20))]
    first, *crowd = words_of(raw, Span(0, 10))
    assert (first.start, first.estimated) == (0.0, False)
    assert all(word.estimated and word.end - word.start >= 0.04 for word in crowd)
    assert crowd[-1].end <= 10


def test_a_word_between_two_spans_lies_in_one_of_them() -> None:
    (word,) = words_of([RawWord(" across", 1.5, 3.2)], Span(0, 2), Span(3, 5))
    assert (word.start, word.end) == (1.5, 2)


def test_times_that_fell_together_are_noticed() -> None:
    fine = [RawWord(f" word{at}", at * 0.4, at * 0.4 + 0.4) for at in range(10)]
    assert not have_collapsed(fine)
    assert have_collapsed([*fine, *(RawWord(" together", 4.0, 4.02) for _ in range(4))])
    assert not have_collapsed([*fine, *(RawWord(" a", 4.0, 4.02) for _ in range(3))])


pieces = st.sampled_from(
    [" ", "a", "bcd", "今", "ิ", "่", ".", "「", "«", "’", " กา", "ー", "-", " é"]
)
times = st.one_of(st.none(), st.floats(-5, 50))


@given(
    st.lists(st.tuples(st.lists(pieces, min_size=1, max_size=4).map("".join), times, times)),
    st.lists(st.tuples(st.floats(0.5, 20), st.floats(0.1, 5)), min_size=1, max_size=8),
)
def test_all_words_come_out_in_order_inside_speech(
    raw: list[tuple[str, float | None, float | None]], lengths: list[tuple[float, float]]
) -> None:
    speech, at = [], 2.0
    for seconds, pause in lengths:
        speech.append(Span(at, at + seconds))
        at += seconds + pause
    whole = join_pieces([RawWord(*item) for item in raw])
    words = fit_words(whole, speech)
    letters = "".join(item[0] for item in raw).replace(" ", "")
    assert "".join(word.text for word in words).replace(" ", "") == letters
    fitting = sum(span.duration for span in speech) >= 0.05 * len(words) + 1e-6
    for before, word in zip((None, *words), words, strict=False):
        assert any(
            span.start - 1e-6 <= word.start <= word.end <= span.end + 1e-6 for span in speech
        )
        if fitting:
            assert word.start < word.end
        if before:
            assert before.end <= word.start + 1e-6


# -- speech without words ----------------------------------------------------------------------


def test_a_sentence_that_was_skipped_leaves_a_sparse_span() -> None:
    raw = [RawWord(" so", 0, 0.3), RawWord(" today", 0.3, 0.8), RawWord(" we", 7.5, 7.7)]
    (span,) = find_sparse_spans(raw, [Span(0, 8)])
    assert span.start <= 0.8
    assert span.end >= 7.4


def test_words_one_after_another_leave_nothing_sparse() -> None:
    raw = [RawWord(" word", at * 0.35, at * 0.35 + 0.35) for at in range(20)]
    assert find_sparse_spans(raw, [Span(0, 7)]) == []


def test_a_pause_is_nothing_that_was_skipped() -> None:
    raw = [RawWord(" yes", 0.1, 0.5), RawWord(" no", 9.1, 9.4)]
    assert find_sparse_spans(raw, [Span(0, 0.6), Span(9, 9.5)]) == []


def test_a_stretch_reaches_from_pause_to_pause() -> None:
    speech = [Span(0, 4), Span(5, 9), Span(10, 12)]
    assert extend_to_pauses(Span(3, 6), speech) == Span(0, 9)
    assert extend_to_pauses(Span(4.2, 4.8), speech) == Span(4.2, 4.8)


@given(st.floats(0, 11))
def test_the_speech_clock_stands_still_in_pauses(seconds: float) -> None:
    clock = SpeechClock([Span(1, 3), Span(5, 8), Span(10, 11)])
    assert 0 <= clock.at(seconds) <= clock.length == 6
    assert clock.at(4) == clock.at(3) == clock.at(5) == 2
