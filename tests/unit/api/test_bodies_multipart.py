"""Forms read piece by piece, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.api.bodies import MOST_VALUES, FileBegins, FormReader
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest

KIND = "multipart/form-data; boundary=b"


def part(name: str, value: str, filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    return (
        f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n{value}\r\n'.encode()
    )


def read(body: bytes, step: int = 1 << 20) -> tuple[str | None, bytes, list[tuple[str, str]]]:
    reader, name, data = FormReader(KIND), None, b""
    for at in range(0, len(body), step):
        for event in reader.feed(body[at : at + step]):
            if isinstance(event, FileBegins):
                name = event.name
            else:
                data += event
    reader.finish()
    return name, data, reader.fields


@given(st.integers(1, 40))
def test_a_body_is_parsed_in_any_chunks(step: int) -> None:
    body = (
        part("a", "1") + part("file", "x\r\n--c\r\n" * 9, "m.wav") + part("b", "ü") + b"--b--\r\n"
    )
    assert read(body, step) == ("m.wav", b"x\r\n--c\r\n" * 9, [("a", "1"), ("b", "ü")])


def test_an_empty_file_without_a_name_is_ignored() -> None:
    assert read(part("file", "", "") + part("url", "u") + b"--b--")[0] is None


def test_a_file_without_a_name_is_accepted() -> None:
    assert read(part("file", "sound") + b"--b--") == ("", b"sound", [])


def test_an_empty_file_with_a_name_is_a_file() -> None:
    assert read(part("file", "", "m.wav") + b"--b--")[0] == "m.wav"


def test_a_second_file_is_refused() -> None:
    with pytest.raises(InvalidOptions, match="two files"):
        read(part("file", "1", "a.wav") + part("file", "2", "b.wav") + b"--b--")


def test_a_file_of_another_name_is_refused_by_name() -> None:
    with pytest.raises(InvalidOptions, match="'audio'"):
        read(part("audio", "1", "a.wav") + b"--b--")


def test_fields_have_a_limit_together() -> None:
    with pytest.raises(InvalidOptions, match="too large"):
        read(part("a", "x" * 200_000) + part("b", "x" * 100_000) + b"--b--")


def test_a_form_of_too_many_fields_is_refused_at_the_first_of_them() -> None:
    reader = FormReader(KIND, 1 << 30)
    [*reader.feed(part("a", "") * MOST_VALUES)]
    with pytest.raises(InvalidOptions, match="more than 2000 values"):
        [*reader.feed(part("a", ""))]


def test_the_names_of_empty_fields_count() -> None:
    with pytest.raises(InvalidOptions, match="too large"):
        read(part("a" * 200, "") * 1500 + b"--b--")


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", part("a", "1"), b"--b\r\nX: y\r\n\r\nz\r\n--b--", part("a", "1")[:-2] + b"--x"],
)
def test_an_incomplete_form_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read(body)


def test_a_form_needs_a_boundary() -> None:
    with pytest.raises(MalformedRequest, match="boundary"):
        FormReader("multipart/form-data")


def test_a_text_file_is_a_field_with_bytes_of_its_own() -> None:
    reader = FormReader(KIND, fields_bytes=100, text_files={"notes": 500})
    body = part("notes", "ü" * 200, "notes.txt") + part("a", "1") + b"--b--\r\n"
    assert list(reader.feed(body)) == []
    reader.finish()
    assert reader.fields == [("notes", "ü" * 200), ("a", "1")]
    with pytest.raises(InvalidOptions, match="'notes' of the form is too large"):
        list(FormReader(KIND, text_files={"notes": 500}).feed(part("notes", "x" * 501)))


def test_a_text_file_that_is_not_text_is_refused() -> None:
    reader = FormReader(KIND, text_files={"notes": 500})
    body = part("notes", "?", "notes.txt").replace(b"?", b"\xff\x80")
    with pytest.raises(InvalidOptions, match="UTF-8"):
        list(reader.feed(body + b"--b--\r\n"))
