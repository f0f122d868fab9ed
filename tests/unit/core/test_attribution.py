"""Who said which word."""

import time

from meet_transcriber.core.attribution import attribute_words
from meet_transcriber.core.transcript import Diarization, Turn, Word

A, B = "SPEAKER_00", "SPEAKER_01"


def words_at(*spans: tuple[str, float, float]) -> list[Word]:
    return [Word(text, start, end) for text, start, end in spans]


def speakers(words: list[Word], *turns: Turn, exclusive: tuple[Turn, ...] = ()) -> list[str | None]:
    return [word.speaker for word in attribute_words(words, Diarization(turns, exclusive))]


def test_without_turns_nobody_is_made_up() -> None:
    assert speakers(words_at(("hello", 0, 1))) == [None]


def test_a_word_goes_to_whoever_speaks_during_most_of_it() -> None:
    words = words_at(("yes.", 0.0, 1.0), ("no.", 1.5, 2.5))
    assert speakers(words, Turn(0, 1.2, A), Turn(1.2, 3, B)) == [A, B]


def test_exclusive_turns_decide_and_all_turns_mark_overlap() -> None:
    words = words_at(("well", 1.0, 1.4))
    turns = (Turn(0, 3, A), Turn(0.9, 1.6, B))
    (word,) = attribute_words(words, Diarization(turns, exclusive=(Turn(0, 3, A),)))
    assert (word.speaker, word.overlap) == (A, True)


def test_a_word_in_a_gap_goes_to_the_nearest_turn_within_the_bound() -> None:
    words = words_at(("so", 2.0, 2.2), ("far", 9.0, 9.2))
    assert speakers(words, Turn(0, 1.8, A), Turn(4, 5, B)) == [A, None]


def test_a_change_in_mid_sentence_moves_to_the_full_stop_close_by() -> None:
    words = words_at(("Good", 0, 0.3), ("point.", 0.3, 0.7), ("Now", 0.75, 1.0), ("we", 1.0, 1.2))
    assert speakers(words, Turn(0, 0.95, A), Turn(0.95, 3, B)) == [A, A, B, B]


def test_a_change_without_a_full_stop_close_by_stays() -> None:
    words = [Word(f"w{at}", at * 0.3, at * 0.3 + 0.3) for at in range(10)]
    assert speakers(words, Turn(0, 1.5, A), Turn(1.5, 3, B)) == [A] * 5 + [B] * 5


def test_a_backchannel_between_sentences_keeps_its_speaker() -> None:
    words = words_at(("it.", 0, 1), ("Right.", 1.1, 1.4), ("And", 1.5, 2))
    assert speakers(words, Turn(0, 1.05, A), Turn(1.05, 1.45, B), Turn(1.45, 3, A)) == [A, B, A]


def test_a_lone_word_inside_somebodys_sentence_is_given_back() -> None:
    words = [Word(f"w{at}", at * 0.3, at * 0.3 + 0.3) for at in range(9)]
    found = speakers(words, Turn(0, 1.2, A), Turn(1.2, 1.5, B), Turn(1.5, 3, A))
    assert found == [A] * 9


def test_order_and_texts_are_untouched() -> None:
    words = words_at(("a", 0, 1), ("b", 1, 2), ("c", 2, 3))
    done = attribute_words(words, Diarization((Turn(0, 3, A),)))
    assert [word.text for word in done] == ["a", "b", "c"]


def test_time_grows_about_linearly() -> None:
    def seconds(count: int) -> float:
        words = [Word("w", at * 0.4, at * 0.4 + 0.3) for at in range(count)]
        turns = tuple(Turn(at * 2.0, at * 2.0 + 2.0, (A, B)[at % 2]) for at in range(count // 5))
        start = time.perf_counter()
        attribute_words(words, Diarization(turns))
        return time.perf_counter() - start

    seconds(2_000)
    assert seconds(40_000) < 40 * max(seconds(4_000), 1e-4)
