"""File names from strangers."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.outbound.download import FALLBACK_NAME, file_name

PLACE = httpx.URL("https://files.example/a/from%20path.mp3?download=1")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("", "from path.mp3"),
        ("attachment", "from path.mp3"),
        ('attachment; filename="stand-up.wav"', "stand-up.wav"),
        ("attachment; filename=plain.wav; size=3", "plain.wav"),
        ('inline; FILENAME = "a \\"b\\".wav"', "a _b_.wav"),
        ("attachment; filename*=UTF-8''Gespr%C3%A4ch.m4a", "Gespräch.m4a"),
        ("attachment; filename=\"x.wav\"; filename*=utf-8'en'%e2%82%ac.wav", "€.wav"),
        ("attachment; filename*=nonsense''a%20b.wav", "a b.wav"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\Users\\\\me\\\\call.mp4"', "call.mp4"),
        ('attachment; filename=".."', "from path.mp3"),
        ('attachment; filename=".hidden.wav"', "hidden.wav"),
        ("attachment; filename*=UTF-8''a%0d%0ab%00%e2%80%aegpj.wav", "a bgpj.wav"),
        ('attachment; filename="a<b>:c|d?e*.wav"', "a_b__c_d_e_.wav"),
    ],
)
def test_the_server_names_the_file(disposition: str, name: str) -> None:
    assert file_name(disposition, PLACE) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://files.example", FALLBACK_NAME),
        ("https://files.example/folder/", FALLBACK_NAME),
        ("https://files.example/%2e%2e", FALLBACK_NAME),
        ("https://files.example/a%2fb%5cc.wav", "c.wav"),
        ("https://files.example/Gespr%C3%A4ch.wav#x", "Gespräch.wav"),
    ],
)
def test_otherwise_the_address_names_it(url: str, name: str) -> None:
    assert file_name("", httpx.URL(url)) == name


def test_a_long_name_is_cut_and_keeps_its_suffix() -> None:
    name = file_name(f'attachment; filename="{"ä" * 300}.webm"', PLACE)
    assert name.endswith("ä.webm")
    assert 190 < len(name.encode()) <= 200


@given(st.text(max_size=300))
def test_any_header_gives_a_harmless_name(text: str) -> None:
    for header in (text, f'a; filename="{text}"', f"a; filename*=utf-8''{text}"):
        name = file_name(header, PLACE)
        assert 0 < len(name.encode()) <= 200
        assert not set(name) & set('/\\<>:"|?*\0\r\n')
        assert name == name.strip(" .")
