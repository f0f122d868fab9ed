"""Who said which word."""

import time
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.attribution import MAX_GAP, attribute_channel, attribute_words
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


def sentence(text: str, start: float = 0.0, step: float = 0.3) -> list[Word]:
    """Words without a pause between them."""
    return [
        Word(word, start + at * step, start + at * step + step)
        for at, word in enumerate(text.split())
    ]


def test_a_false_turn_at_the_edge_of_a_sentence_breaks_it_neither() -> None:
    words = sentence("So we are done. Now we ship the report today.")
    found = speakers(words, Turn(0, 1.2, A), Turn(1.2, 1.55, B), Turn(1.55, 3, A))
    assert found == [A] * 10


def test_a_change_moves_several_short_words_to_the_end_of_the_sentence() -> None:
    words = sentence("We will do it. I am on it now.", step=0.15)
    assert speakers(words, Turn(0, 0.2, A), Turn(0.2, 3, B)) == [B] * 9
    assert speakers(words, Turn(0, 0.35, A), Turn(0.35, 3, B)) == [A] * 4 + [B] * 5
    assert speakers(words, Turn(0, 0.9, A), Turn(0.9, 3, B)) == [A] * 4 + [B] * 5


def test_somebody_who_takes_over_in_mid_sentence_gets_what_they_say() -> None:
    words = sentence("I would say that we need oh no we do not need that at all")
    found = speakers(words, Turn(0, 1.8, A), Turn(1.8, 4.5, B))
    assert found == [A] * 6 + [B] * 9


def test_an_interjection_over_a_longer_turn_keeps_its_speaker() -> None:
    words = sentence("That is the plan. Right. And we begin on Monday.")
    assert speakers(words, Turn(0, 5, A), Turn(1.18, 1.52, B)) == [A] * 4 + [B] + [A] * 5


def test_an_interjection_of_somebody_whose_turn_was_missed_is_made_up_for_nobody() -> None:
    words = sentence("That is the plan. Right. And we begin on Monday.")
    assert speakers(words, Turn(0, 5, A), Turn(9, 10, B)) == [A] * 10


def test_without_punctuation_a_pause_is_where_the_speaker_changes() -> None:
    words = [*sentence("we should ship it"), *sentence("no we should not", start=1.9)]
    assert speakers(words, Turn(0, 2.1, A), Turn(2.1, 4, B)) == [A] * 4 + [B] * 4


def test_estimated_times_weigh_less_than_measured_ones() -> None:
    words = sentence("we go to the shop now and then we go home again for lunch")
    turns = Turn(0, 1.2, A), Turn(1.2, 2.7, B), Turn(2.7, 5, A)
    guessed = [replace(word, estimated=True) for word in words]
    assert speakers(words, *turns) == [A] * 4 + [B] * 5 + [A] * 5
    assert speakers(guessed, *turns) == [A] * 14


def test_crosstalk_goes_to_who_began_and_is_marked() -> None:
    words = sentence("We leave at ten. I cannot do ten.")
    turns = Turn(0, 1.6, A), Turn(0.9, 2.4, B)
    done = attribute_words(words, Diarization(turns))
    assert [word.speaker for word in done] == [A] * 4 + [B] * 4
    assert [word.overlap for word in done] == [False] * 3 + [True] * 2 + [False] * 3


def test_a_sentence_that_diarization_missed_in_part_is_of_one_speaker() -> None:
    words = sentence("so we will have to look at this again. Nobody knows.", step=0.5)
    assert speakers(words, Turn(0, 1.0, A)) == [A] * 9 + [None] * 2


def test_the_part_of_a_sentence_before_a_turn_is_of_its_speaker_and_nothing_beyond_a_pause() -> (
    None
):
    words = [*sentence("we begin"), *sentence("so this is it and no more", start=3.0)]
    assert speakers(words, Turn(5.8, 6.4, B)) == [None] * 2 + [B] * 7


def test_a_word_without_any_length_belongs_to_the_turn_around_it() -> None:
    words = words_at(("so.", 1.0, 1.0), ("yes.", 5.0, 5.0))
    assert speakers(words, Turn(0, 3, A), Turn(4, 6, B)) == [A, B]


def test_a_channel_has_its_one_speaker_and_the_others_only_mark_overlap() -> None:
    words = words_at(("so", 1.0, 1.4), ("late", 2.2, 2.6), ("far", 50.0, 50.4))
    done = attribute_channel(words, A, [Turn(0, 3, B), Turn(1, 2, A)])
    assert [word.speaker for word in done] == [A] * 3
    assert [word.overlap for word in done] == [True, True, False]


TIMES = st.floats(0, 40, allow_nan=False)
LENGTHS = st.floats(0, 5, allow_nan=False)
TURNS = st.lists(
    st.builds(
        lambda start, length, speaker: Turn(start, start + length, speaker),
        TIMES,
        LENGTHS,
        st.sampled_from([A, B, "SPEAKER_02"]),
    ),
    max_size=10,
)
WORDS = st.lists(
    st.builds(
        lambda text, start, length, guess: Word(text, start, start + length, estimated=guess),
        st.sampled_from(["so", "so,", "so.", "。"]),
        TIMES,
        LENGTHS,
        st.booleans(),
    ),
    max_size=25,
).map(lambda words: sorted(words, key=lambda word: word.start))


@given(WORDS, TURNS, TURNS)
def test_words_stay_as_they_are_and_those_with_turns_nearby_go_to_one_of_them(
    words: list[Word], turns: list[Turn], exclusive: list[Turn]
) -> None:
    done = attribute_words(words, Diarization(tuple(turns), tuple(exclusive)))
    assert [replace(word, speaker=None, overlap=False) for word in done] == words
    for word in done:
        near = {
            turn.speaker
            for turn in turns or exclusive
            if turn.start - word.end <= MAX_GAP and word.start - turn.end <= MAX_GAP
        }
        everybody = {turn.speaker for turn in turns or exclusive}
        assert word.speaker in (near or everybody) or (word.speaker is None and not near)


@given(WORDS, TURNS)
def test_one_voice_is_one_speaker(words: list[Word], turns: list[Turn]) -> None:
    one = tuple(replace(turn, speaker=A) for turn in turns)
    done = attribute_words(words, Diarization(one))
    assert {word.speaker for word in done} <= {A, None}
    assert not any(word.overlap for word in done)


@given(WORDS, TURNS)
def test_labels_are_only_names(words: list[Word], turns: list[Turn]) -> None:
    other = {A: "X", B: "Y", "SPEAKER_02": "Z"}
    renamed = tuple(replace(turn, speaker=other[turn.speaker]) for turn in turns)
    found = [word.speaker for word in attribute_words(words, Diarization(tuple(turns)))]
    again = [word.speaker for word in attribute_words(words, Diarization(renamed))]
    assert [speaker and other[speaker] for speaker in found] == again


def test_time_grows_about_linearly() -> None:
    def seconds(count: int) -> float:
        words = [Word("w", at * 0.4, at * 0.4 + 0.3) for at in range(count)]
        turns = tuple(Turn(at * 2.0, at * 2.0 + 2.0, (A, B)[at % 2]) for at in range(count // 5))
        start = time.perf_counter()
        attribute_words(words, Diarization(turns))
        return time.perf_counter() - start

    seconds(2_000)
    assert seconds(40_000) < 40 * max(seconds(4_000), 1e-4)
