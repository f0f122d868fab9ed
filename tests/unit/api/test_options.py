"""Options from forms, queries and JSON."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.api.errors import OptionProblems
from meet_transcriber.api.http import read_json
from meet_transcriber.api.options import read_options
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest
from meet_transcriber.core.options import Options
from meet_transcriber.settings import Settings

DEFAULTS = Settings(min_speakers=3, max_speakers=6)


def options(*pairs: tuple[str, object]) -> Options:
    return read_options(pairs).with_defaults(Settings())


@pytest.mark.parametrize("text", ["false", "0", "no", "OFF", False, 0])
def test_every_way_to_say_no_is_understood(text: object) -> None:
    assert not options(("enable_diarization", text)).enable_diarization


@pytest.mark.parametrize("text", ["true", "1", "Yes", "on", True, 1])
def test_every_way_to_say_yes_is_understood(text: object) -> None:
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
def test_a_list_may_come_in_any_of_the_usual_ways(pairs: list[tuple[str, object]]) -> None:
    assert options(*pairs).hotwords == ("Ann", "Bo")


def test_an_item_of_a_real_list_keeps_its_comma() -> None:
    assert options(("hotwords[]", "Doe, Jane")).hotwords == ("Doe, Jane",)


def test_an_unknown_option_is_named_with_those_that_exist() -> None:
    with pytest.raises(InvalidOptions, match=r"'languge'.*language, languages, task"):
        read_options([("languge", "en")])


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(OptionProblems) as caught:
        read_options([("num_speakers", "many"), ("x", "1"), ("word_timestamps", "perhaps")])
    assert {name for name, _ in caught.value.found} == {"num_speakers", "x", "word_timestamps"}


def test_an_option_given_twice_alike_is_fine_and_otherwise_not() -> None:
    assert options(("language", "en"), ("language", "en")).language == "en"
    with pytest.raises(InvalidOptions, match="given twice"):
        options(("language", "en"), ("language", "de"))


def test_what_is_empty_counts_as_not_given() -> None:
    assert options(("language", ""), ("num_speakers", None)) == Options()


@pytest.mark.parametrize("value", [True, 2.5, "2.5", "-1", [], "9" * 400, "²"])
def test_a_count_is_a_whole_number_or_an_error(value: object) -> None:
    with pytest.raises(InvalidOptions, match="num_speakers"):
        options(("num_speakers", value))


def test_a_whole_number_may_have_a_point_in_json() -> None:
    assert options(("num_speakers", 3.0)) == Options(num_speakers=3)


def test_the_operators_defaults_apply_where_nothing_was_said() -> None:
    made = read_options([]).with_defaults(DEFAULTS)
    assert (made.min_speakers, made.max_speakers) == (3, 6)


def test_a_default_gives_way_to_what_it_contradicts() -> None:
    made = read_options([("max_speakers", "2")]).with_defaults(DEFAULTS)
    assert (made.min_speakers, made.max_speakers) == (None, 2)
    assert read_options([("num_speakers", "9")]).with_defaults(DEFAULTS).min_speakers is None


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"a": "\\ud800"}', b"[" * 100_000, b"\xff", b'{"a":1,"a":2}', b"9" * 5000],
)
def test_what_is_no_json_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_json(data)


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"a"'])
def test_json_must_be_an_object(data: bytes) -> None:
    with pytest.raises(InvalidOptions, match="object"):
        read_json(data)


@given(st.dictionaries(st.text(max_size=12), st.none() | st.booleans() | st.text() | st.integers()))
def test_anything_else_is_an_option_or_an_error_of_ours(body: dict[str, object]) -> None:
    with suppress(InvalidOptions):
        read_options(body.items()).with_defaults(DEFAULTS)
