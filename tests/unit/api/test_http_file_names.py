"""Names for downloads."""

from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.api.http import attachment


def names(header: str) -> tuple[str, str]:
    message = Message()
    message["Content-Disposition"] = header
    plain = str(message.get_param("filename", header="content-disposition"))
    return plain, message.get_filename() or ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("standup.mp3", "attachment; filename=\"standup.txt\"; filename*=UTF-8''standup.txt"),
        ("", "attachment; filename=\"transcript.txt\"; filename*=UTF-8''transcript.txt"),
        ("..", "attachment; filename=\"transcript.txt\"; filename*=UTF-8''transcript.txt"),
        ("grüße.wav", "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%BC%C3%9Fe.txt"),
        ("../../etc/passwd", "attachment; filename=\"passwd.txt\"; filename*=UTF-8''passwd.txt"),
    ],
)
def test_a_download_is_named_after_the_recording(name: str, expected: str) -> None:
    assert attachment(name, "txt") == expected


def test_markup_and_quotes_are_escaped_in_the_header() -> None:
    header = attachment('"><script>alert(1)</script>\r\nX: y.mp3', "txt")
    assert not set("<>\r\n") & set(header)
    assert header.count('"') == 2


@given(st.text(max_size=200))
def test_every_name_gives_one_plain_line(name: str) -> None:
    header = attachment(name, "srt")
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
