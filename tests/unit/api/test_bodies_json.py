"""JSON bodies."""

import json
import time

import pytest
from pydantic import Field

from meet_transcriber.api.bodies import MOST_VALUES, RequestModel, read_json, validate
from meet_transcriber.api.errors import OptionProblems
from meet_transcriber.api.schemas import SegmentChange
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest


class _Size(RequestModel):
    size: int = Field(strict=True, ge=1)
    unit: str = ""


@pytest.mark.parametrize("value", [3, 3.0])
def test_an_integral_number_is_an_integer(value: float) -> None:
    assert validate(_Size, {"size": value}).size == 3


@pytest.mark.parametrize("value", [0, 2.5, True, "3", None, [], float("inf")])
def test_anything_else_is_refused_by_name(value: object) -> None:
    with pytest.raises(OptionProblems) as caught:
        validate(_Size, {"size": value})
    assert [name for name, _ in caught.value.found] == ["size"]


def test_an_unknown_field_is_named_with_those_that_exist() -> None:
    with pytest.raises(OptionProblems, match=r"Unknown .*'sise'.* size, unit") as caught:
        validate(_Size, {"size": 1, "sise": 2})
    assert [name for name, _ in caught.value.found] == ["sise"]


def test_of_many_unknown_fields_a_hundred_are_named() -> None:
    with pytest.raises(OptionProblems) as caught:
        validate(_Size, {f"field{number}": 1 for number in range(MOST_VALUES)})
    assert len(caught.value.found) == 100


@pytest.mark.parametrize(
    "value",
    [
        {f"field{number}": 1 for number in range(MOST_VALUES)},
        {"list": [1] * (MOST_VALUES - 1)},
        {"list": [{"a": [1]}] * ((MOST_VALUES - 1) // 3), "more": [], "b": 1},
    ],
    ids=["fields", "list", "nested"],
)
def test_a_body_of_too_many_values_is_refused(value: dict[str, object]) -> None:
    data = json.dumps(value).encode()
    assert read_json(data, MOST_VALUES + 1) == value
    with pytest.raises(InvalidOptions, match="more than 2000 values"):
        read_json(data, MOST_VALUES - 1)


@pytest.mark.parametrize("value", [b'"a" :1', b"[]", b"{}", b"1", b'","'])
def test_a_body_of_far_too_many_values_is_not_parsed(value: bytes) -> None:
    with pytest.raises(InvalidOptions, match="more than 100000 values"):
        read_json(b"{" + value + (b"," + value) * 100_000)  # which is no JSON


def test_commas_and_brackets_within_strings_are_no_values() -> None:
    assert read_json(b'{"a": "' + b'[{,\\"' * 200_000 + b'"}')["a"]


@pytest.mark.parametrize("text", [b'\\"', b'"\\', b'"', b"\\", b'"\\\\'])
def test_values_are_counted_in_linear_time(text: bytes) -> None:
    def seconds(size: int) -> float:
        began = time.process_time()
        with pytest.raises(MalformedRequest):
            read_json(text * size)
        return time.process_time() - began

    small = min(seconds(50_000) for _ in range(3))
    assert seconds(500_000) < 50 * small  # it would be 100-fold


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"merge": 1},
        {"merge": False},
        {"merge": True, "text": "a"},
        {"split_at": None},
        {"a": 1},
    ],
)
def test_a_change_of_a_segment_is_exactly_one(body: dict[str, object]) -> None:
    with pytest.raises(InvalidOptions):
        validate(SegmentChange, body)
