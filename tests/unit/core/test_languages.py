"""Languages by their codes, their names and their old codes; text for searches."""

import sys
import time
import unicodedata

import pytest

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.languages import base_language, fold, parse_language
from meet_transcriber.core.options import Options


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("en", "en"), ("EN", "en"), ("en-US", "en"), ("pt_BR", "pt"), ("English", "en"),
        ("nb", "no"), ("jv", "jw"), ("iw", "he"), ("fil", "tl"), ("german", "de"),
        ("zh", "zh"), ("zh-CN", "zh-Hans"), ("zh-TW", "zh-Hant"), ("zh-hant", "zh-Hant"),
    ],
)  # fmt: skip
def test_a_language_is_known_by_every_common_name(written: str, code: str) -> None:
    assert parse_language(written) == code
    assert Options(language=written).language == code


@pytest.mark.parametrize(("written", "nearest"), [("englsh", "english"), ("grman", "german")])
def test_an_unknown_one_is_named_with_the_nearest(written: str, nearest: str) -> None:
    with pytest.raises(InvalidOptions, match=written) as raised:
        parse_language(written)
    assert nearest in str(raised.value).lower()


def test_a_script_is_spoken_as_its_language() -> None:
    assert (base_language("zh-Hant"), base_language("de")) == ("zh", "de")


@pytest.mark.parametrize(
    "marks",
    [
        "\u0301\u0327",
        "\u05b0\u0591",
        "\u0e38\u0e48\u0327",
        "\u3099\u0327",
        "\uff9e\u0327",
        "\u0344\u0591",
    ],
)
def test_any_marks_are_folded_in_linear_time(marks: str) -> None:
    text = "a" + marks * 100_000  # whose sorting took 10 s
    began = time.process_time()
    assert fold(text)[:1] == "a"
    assert time.process_time() - began < 0.5


def test_no_other_letter_becomes_a_mark() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        parts = unicodedata.normalize("NFKD", char)
        if unicodedata.combining(parts[0]) and (char.isalnum() or char.isspace() or char == "_"):
            assert char in "\uff9e\uff9f"


def test_words_with_marks_are_found_as_before() -> None:
    assert fold("Ünlü ﬁn ｶﾞ שָׁלוֹם") == fold("U\u0308nlu\u0308 fin ガ שָׁלוֹם")
    assert fold("-" * 50 + " é") == "-" * 30 + " e"
