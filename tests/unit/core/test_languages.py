"""Languages by their codes, their names and their old codes."""

import pytest

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.languages import base_language, parse_language
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
