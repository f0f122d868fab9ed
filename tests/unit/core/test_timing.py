"""Word times put right."""

from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.timing import RawWord, outside_speech, tidy_words
from meet_transcriber.core.transcript import Span, Word


def test_pieces_without_a_space_belong_to_the_word_before() -> None:
    raw = [RawWord(" twenty", 0, 1, 0.9), RawWord("-five", 1, 1.5, 0.5), RawWord(" men", 1.5, 2)]
    words = tidy_words(raw, 0, 2)
    assert [(word.text, word.end) for word in words] == [("twenty-five", 1.5), ("men", 2)]
    assert words[0].probability == 0.5


def test_chinese_words_stay_apart() -> None:
    words = tidy_words([RawWord("今天", 0, 1), RawWord("开会", 1, 2)], 0, 2)
    assert [word.text for word in words] == ["今天", "开会"]


def test_missing_times_are_spread_and_marked() -> None:
    raw = [RawWord(" costs", 0, 1), RawWord(" $43,000"), RawWord(" today", 3, 4)]
    price = tidy_words(raw, 0, 4)[1]
    assert (price.start, price.estimated) == (1, True)
    assert 1 < price.end <= 3


def test_a_word_that_swallowed_a_pause_is_cut() -> None:
    (word,) = tidy_words([RawWord(" so", 0, 12)], 0, 20)
    assert word.end < 2


def test_words_far_from_speech_are_not_believed() -> None:
    speech = [Span(0, 2), Span(10, 12)]
    assert outside_speech(Word("you", 5, 6), speech)
    assert not outside_speech(Word("you", 9.6, 9.9), speech)


times = st.one_of(st.none(), st.floats(-5, 50))


@given(st.lists(st.tuples(st.text(" ab今", min_size=1, max_size=4), times, times), max_size=20))
def test_all_words_come_out_in_order_inside_the_part(
    raw: list[tuple[str, float | None, float | None]],
) -> None:
    words = tidy_words([RawWord(*item) for item in raw], 2.0, 30.0)
    letters = "".join(text for text, *_ in raw).replace(" ", "")
    assert "".join(word.text for word in words).replace(" ", "") == letters
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert all(2.0 <= word.start <= word.end <= 30.0 for word in words)
