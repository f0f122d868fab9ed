"""No bytes at all bring out anything but an InvalidAudio."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.core.errors import InvalidAudio
from meet_transcriber.core.options import Options

Make = Callable[..., Any]
QUICK = settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HEADS = [
    b"",
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"\0\0\0\x18ftypisom",
    b"OggS\0\2",
    b"fLaC\0\0\0\x22",
]
HEADS += [b"\x1a\x45\xdf\xa3", b"ID3\x04\0\0", b"\xff\xfb\x90\x64", b"FORM", b"\xff\xf1\x50\x80"]


def try_it(data: bytes) -> None:
    with contextlib.suppress(InvalidAudio):
        PyavDecoder(600.0).prepare(io.BytesIO(data), io.BytesIO(), Options(), lambda _: None)


@QUICK
@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=600))
def test_random_bytes_are_refused_in_words(head: bytes, tail: bytes) -> None:
    try_it(head + tail)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("mp4", "aac"), ("ogg", "libopus")],
)
@QUICK
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), max_size=20))
def test_flipped_bits_do_no_harm(
    container: str, codec: str, flips: list[tuple[int, int]], encode: Make, tone: Make
) -> None:
    data = bytearray(encode(tone(0.3, 48_000), container, codec).getvalue())
    for place, bits in flips:
        data[place % min(len(data), 1500)] ^= bits
    try_it(bytes(data))


@pytest.mark.parametrize("container", ["wav", "matroska", "mp4", "ogg"])
def test_a_file_cut_anywhere_does_no_harm(container: str, encode: Make, tone: Make) -> None:
    codec = {"wav": "pcm_s16le", "mp4": "aac"}.get(container, "libopus")
    data = encode(tone(0.5, 48_000), container, codec).getvalue()
    for length in np.linspace(0, len(data), 40).astype(int):
        try_it(data[:length])
