"""Wishes that make no sense are refused."""

from typing import Any

import pytest

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.options import Options


@pytest.mark.parametrize(
    "wishes",
    [
        {"num_speakers": 0},
        {"max_speakers": 51},
        {"min_speakers": 5, "max_speakers": 2},
        {"num_speakers": 5, "max_speakers": 2},
        {"language": "fr", "languages": ("en", "de")},
        {"task": "sing"},
        {"channels": "left"},
        {"initial_prompt": "a" * 10_001},
        {"hotwords": ("a",) * 5001},
        {"languages": ("en",) * 5000},
    ],
)
def test_an_invalid_option_is_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptions):
        Options(**wishes)


def test_a_number_of_speakers_fixes_the_range() -> None:
    assert Options(num_speakers=3).speaker_range == (3, 3)
    assert Options(min_speakers=2).speaker_range == (2, 50)
