"""Readable segments."""

from meet_transcriber.core.languages import join_words
from meet_transcriber.core.segmentation import LONG_PAUSE, build_segments
from meet_transcriber.core.transcript import Word


def spoken(text: str, start: float = 0.0, step: float = 0.4, speaker: str = "A") -> list[Word]:
    return [
        Word(word, start + at * step, start + at * step + step * 0.9, None, speaker)
        for at, word in enumerate(text.split())
    ]


def test_no_words_make_no_segments() -> None:
    assert build_segments([]) == ()


def test_every_word_comes_out_once_and_in_order() -> None:
    words = spoken("one two. three " * 200)
    out = [word for segment in build_segments(words) for word in segment.words]
    assert out == words


def test_a_change_of_speaker_starts_a_segment() -> None:
    words = spoken("yes we do", 0, speaker="A") + spoken("no", 1.2, speaker="B")
    assert [segment.speaker for segment in build_segments(words)] == ["A", "B"]


def test_a_long_pause_starts_a_segment() -> None:
    words = [*spoken("before it"), *spoken("after it", start=0.76 + LONG_PAUSE)]
    assert len(build_segments(words)) == 2


def test_short_sentences_stay_together_and_long_ones_end_a_segment() -> None:
    words = spoken("One two. " + "word " * 20 + "end. Next one.")
    assert [segment.text.split()[-1] for segment in build_segments(words)] == ["end.", "one."]


def test_speech_without_punctuation_is_cut_to_twenty_seconds() -> None:
    segments = build_segments(spoken("word " * 300))
    assert max(segment.end - segment.start for segment in segments) <= 20.0


def test_chinese_and_japanese_get_no_spaces() -> None:
    assert join_words(["今天", "开会", "。", "OK"]) == "今天开会。OK"
    assert join_words(["会議", "を", "始めます"]) == "会議を始めます"


def test_korean_and_latin_keep_their_spaces() -> None:
    assert join_words(["안녕하세요", "여러분"]) == "안녕하세요 여러분"
    assert join_words(["twenty-five", "people"]) == "twenty-five people"
