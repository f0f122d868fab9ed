"""What Accept says."""

import pytest
from starlette.exceptions import HTTPException

from meet_transcriber.api.http import negotiate

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
