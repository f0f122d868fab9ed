import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.options import Options
from meet_transcriber.core.serialization import from_plain, to_plain
from meet_transcriber.core.transcript import Span, Transcript


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    share: float = 0.0
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True, slots=True)
class Whole:
    parts: tuple[Part, ...] = ()
    words: tuple[str, ...] = ()
    by_name: Mapping[str, Part] = field(default_factory=dict)
    count: int | None = None
    done: bool = False


text = st.text()
parts = st.builds(Part, text, st.floats(allow_nan=False), st.sampled_from(["a", "b"]))
wholes = st.builds(
    Whole,
    st.lists(parts).map(tuple),
    st.lists(text).map(tuple),
    st.dictionaries(text, parts),
    st.none() | st.integers(),
    st.booleans(),
)


@given(wholes)
def test_values_read_back_equal(whole: Whole) -> None:
    assert from_plain(Whole, json.loads(json.dumps(to_plain(whole)))) == whole


@given(wholes)
def test_the_format_is_that_of_asdict(whole: Whole) -> None:
    assert json.dumps(to_plain(whole)) == json.dumps(asdict(whole))


def test_unknown_keys_are_ignored_and_missing_keys_take_defaults() -> None:
    assert from_plain(Part, {"name": "x", "colour": "red"}) == Part("x")


def test_a_whole_number_becomes_a_float_of_seconds() -> None:
    assert isinstance(from_plain(Span, {"start": 1, "end": 2}).start, float)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (None, "at Whole:"),
        ({"parts": [{"name": 1}]}, r"at Whole.parts\[0\].name"),
        ({"parts": [{}]}, r"at Whole.parts\[0\]"),
        ({"parts": [{"name": "x"}, {"name": 1}]}, r"at Whole.parts\[1\].name"),
        ({"by_name": {"a": {"name": 1}}}, "at Whole.by_name.a.name"),
        ({"parts": [{"name": "x", "kind": "c"}]}, r"kind"),
        ({"parts": [{"name": "x", "share": 10**400}]}, r"share"),
        ({"words": "abc"}, "Whole.words"),
        ({"by_name": []}, "Whole.by_name"),
        ({"count": True}, "Whole.count"),
        ({"done": 1}, "Whole.done"),
    ],
)
def test_data_that_does_not_fit_names_its_place(data: Any, place: str) -> None:
    with pytest.raises(StorageError, match=place):
        from_plain(Whole, data)


@pytest.mark.parametrize(
    ("kind", "data"),
    [(Options, {"min_speakers": 0}), (Transcript, {"segments": [{"words": []}]})],
)
def test_a_value_that_its_class_refuses_is_damaged_data(kind: type, data: Any) -> None:
    with pytest.raises(StorageError, match="does not fit"):
        from_plain(kind, data)
