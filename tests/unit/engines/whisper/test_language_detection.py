"""The path of languages."""

from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.engines.whisper.language_detection import (
    DetectedLanguage,
    most_likely_languages,
    path_probability,
)


def stretches(*odds: dict[str, float], seconds: float = 20.0) -> list[DetectedLanguage]:
    return [
        DetectedLanguage(at * seconds, (at + 1) * seconds, each) for at, each in enumerate(odds)
    ]


EN, DE = {"en": 0.994, "de": 0.005, "nl": 0.001}, {"de": 0.994, "en": 0.005, "nl": 0.001}
ODD = {"nl": 0.5, "en": 0.45, "de": 0.05}


def test_one_deviating_window_does_not_change_the_language() -> None:
    assert most_likely_languages(stretches(EN, EN, ODD, EN), ["en", "de", "nl"]) == ["en"] * 4


def test_a_certain_window_of_another_language_does() -> None:
    path = most_likely_languages(stretches(EN, EN, DE, EN), ["en", "de"])
    assert path == ["en", "en", "de", "en"]


def test_a_short_uncertain_beginning_keeps_the_previous_language() -> None:
    doubt = stretches({"nl": 0.6, "en": 0.4}, seconds=1.5)
    assert most_likely_languages(doubt, ["en", "nl"], before="en") == ["en"]
    assert most_likely_languages(doubt, ["en", "nl"]) == ["nl"]


@given(
    st.lists(
        st.fixed_dictionaries({code: st.floats(0, 1) for code in ("en", "de", "fr")}),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.sampled_from(["en", "de", "fr"]), min_size=1, unique=True),
)
def test_only_allowed_languages_are_chosen(
    odds: list[dict[str, float]], allowed: list[str]
) -> None:
    path = most_likely_languages(stretches(*odds), allowed)
    assert len(path) == len(odds)
    assert set(path) <= set(allowed)


def test_path_probability_is_the_share_of_the_chosen_languages() -> None:
    assert path_probability(stretches(EN, DE), ["en", "de"]) > 0.95
    assert path_probability(stretches({"en": 0.2, "de": 0.8}), ["en"]) == 0.2


def test_a_window_with_a_trace_of_another_language_may_be_mixed() -> None:
    full = DetectedLanguage(0, 30, {"en": 0.97, "de": 0.03})
    assert full.may_be_mixed(set())
    assert not DetectedLanguage(0, 30, {"en": 0.998, "de": 0.001}).may_be_mixed(set())
    assert DetectedLanguage(0, 30, {"en": 0.998, "de": 0.002}).may_be_mixed({"de"})
