"""JSON bodies, and what Accept says."""

import pytest
from pydantic import Field
from starlette.exceptions import HTTPException

from meet_transcriber.api.errors import OptionProblems
from meet_transcriber.api.http import RequestModel, negotiate, validate
from meet_transcriber.api.schemas import SegmentChange
from meet_transcriber.core.errors import InvalidOptions

OFFERED = {"application/json": "json", "text/plain": "txt", "text/vtt": "vtt"}


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("text/vtt", "vtt"),
        ("text/*", "txt"),
        ("text/html, */*;q=0.1", "json"),
        ("application/json;q=0.5, text/vtt", "vtt"),
        ("*/*, application/json;q=0, text/plain;q=0", "vtt"),
        ("text/vtt;q=nonsense, text/plain;q=0.1", "txt"),
    ],
)
def test_the_preferred_media_type_is_chosen(accept: str | None, chosen: str) -> None:
    assert negotiate(accept, OFFERED) == chosen


def test_an_unacceptable_media_type_is_406() -> None:
    with pytest.raises(HTTPException, match="406"):
        negotiate("image/png", OFFERED)


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
