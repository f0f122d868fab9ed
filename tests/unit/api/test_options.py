"""Options from forms, queries and JSON."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.api.bodies import MOST_VALUES, read_json
from meet_transcriber.api.errors import OptionProblems
from meet_transcriber.api.options import read_options
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest
from meet_transcriber.core.options import Options
from meet_transcriber.settings import Settings

DEFAULTS = Settings(min_speakers=3, max_speakers=6)


def options(*pairs: tuple[str, object]) -> Options:
    return read_options(pairs).with_defaults(Settings())


@pytest.mark.parametrize("text", ["false", "0", "no", "OFF", False, 0])
def test_every_spelling_of_false_is_accepted(text: object) -> None:
    assert not options(("enable_diarization", text)).enable_diarization


def test_a_submission_of_too_many_fields_is_refused() -> None:
    with pytest.raises(InvalidOptions, match="more than 2000 values"):
        options(*[("language", "en")] * (MOST_VALUES + 1))


@pytest.mark.parametrize("text", ["true", "1", "Yes", "on", True, 1])
def test_every_spelling_of_true_is_accepted(text: object) -> None:
    assert options(("word_timestamps", text)).word_timestamps


@pytest.mark.parametrize(
    "pairs",
    [
        [("hotwords", "Ann, Bo")],
        [("hotwords", "Ann"), ("hotwords", "Bo")],
        [("hotwords[]", "Ann"), ("hotwords[]", "Bo")],
        [("hotwords", ["Ann", "Bo"])],
    ],
)
def test_lists_are_accepted_in_every_common_spelling(pairs: list[tuple[str, object]]) -> None:
    assert options(*pairs).hotwords == ("Ann", "Bo")


def test_an_item_of_a_list_may_contain_a_comma() -> None:
    assert options(("hotwords[]", "Doe, Jane")).hotwords == ("Doe, Jane",)


def test_an_unknown_option_is_named_with_those_that_exist() -> None:
    with pytest.raises(InvalidOptions, match=r"'languge'.*language, languages, task"):
        read_options([("languge", "en")])


def test_all_invalid_options_are_reported_together() -> None:
    with pytest.raises(OptionProblems) as caught:
        read_options([("num_speakers", "many"), ("x", "1"), ("word_timestamps", "perhaps")])
    assert {name for name, _ in caught.value.found} == {"num_speakers", "x", "word_timestamps"}


def test_a_repeated_option_must_have_the_same_value() -> None:
    assert options(("language", "en"), ("language", "en")).language == "en"
    with pytest.raises(InvalidOptions, match="given twice"):
        options(("language", "en"), ("language", "de"))


def test_an_empty_option_counts_as_absent() -> None:
    assert options(("language", ""), ("num_speakers", None)) == Options()


@pytest.mark.parametrize("value", [True, 2.5, "2.5", "-1", [], "9" * 400, "²"])
def test_a_count_must_be_an_integer(value: object) -> None:
    with pytest.raises(InvalidOptions, match="num_speakers"):
        options(("num_speakers", value))


def test_an_integer_may_be_written_as_a_float_in_json() -> None:
    assert options(("num_speakers", 3.0)) == Options(num_speakers=3)


def test_the_operators_defaults_apply_to_missing_options() -> None:
    made = read_options([]).with_defaults(DEFAULTS)
    assert (made.min_speakers, made.max_speakers) == (3, 6)


def test_an_option_overrides_a_default_that_contradicts_it() -> None:
    made = read_options([("max_speakers", "2")]).with_defaults(DEFAULTS)
    assert (made.min_speakers, made.max_speakers) == (None, 2)
    assert read_options([("num_speakers", "9")]).with_defaults(DEFAULTS).min_speakers is None


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"a": "\\ud800"}', b"[" * 100_000, b"\xff", b'{"a":1,"a":2}', b"9" * 5000],
)
def test_invalid_json_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_json(data)


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"a"'])
def test_json_must_be_an_object(data: bytes) -> None:
    with pytest.raises(InvalidOptions, match="object"):
        read_json(data)


@given(st.dictionaries(st.text(max_size=12), st.none() | st.booleans() | st.text() | st.integers()))
def test_any_body_is_parsed_or_refused(body: dict[str, object]) -> None:
    with suppress(InvalidOptions):
        read_options(body.items()).with_defaults(DEFAULTS)
