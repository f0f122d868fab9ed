"""JSON bodies."""

import pytest
from pydantic import Field

from meet_transcriber.api.bodies import RequestModel, validate
from meet_transcriber.api.errors import OptionProblems
from meet_transcriber.api.schemas import SegmentChange
from meet_transcriber.core.errors import InvalidOptions


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
