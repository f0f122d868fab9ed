"""How much of the speech has words."""

import pytest

from meet_transcriber.core.transcript import Span, Word, merge_spans
from meet_transcriber.core.word_timing import find_uncovered, measure_coverage


def test_without_speech_everything_is_covered() -> None:
    assert measure_coverage([], []) == 1.0


def test_speech_without_words_is_one_hole() -> None:
    assert find_uncovered([Span(1, 5)], []) == (Span(1, 5),)
    assert measure_coverage([Span(1, 5)], []) == 0.0


def test_a_breath_between_words_is_no_hole() -> None:
    words = [Word("a", 0, 1), Word("b", 1.9, 3)]
    assert find_uncovered([Span(0, 3)], words) == ()


def test_a_hole_shorter_than_asked_for_is_left_out() -> None:
    words = [Word("a", 0, 1), Word("b", 6, 7)]
    (hole,) = find_uncovered([Span(0, 7)], words)
    assert (hole.start, hole.end) == pytest.approx((1.5, 5.5))


def test_coverage_is_the_share_of_speech_seconds() -> None:
    words = [Word("a", 0, 4.5)]
    assert measure_coverage([Span(0, 10)], words) == pytest.approx(0.5)


def test_spans_that_touch_become_one() -> None:
    assert merge_spans([Span(3, 4), Span(0, 1), Span(1, 2)]) == (Span(0, 2), Span(3, 4))
