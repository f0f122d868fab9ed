"""What headers claim."""

import io
from collections.abc import Callable
from typing import Any

from meet_transcriber.audio.probe import count_missing_bytes, has_estimated_duration, is_encrypted

Make = Callable[..., Any]


def test_an_ordinary_mp4_is_not_encrypted(encode: Make, tone: Make) -> None:
    assert not is_encrypted(encode(tone(1.0, 48_000), "mp4", "aac"))


def test_boxes_that_make_no_sense_end_the_search() -> None:
    assert not is_encrypted(io.BytesIO(b"\0\0\0\x02ftypmoovenca"))


def test_a_whole_wav_misses_nothing(write_wav: Make, tone: Make) -> None:
    assert count_missing_bytes(write_wav(tone(1.0))) == 0


def test_a_cut_wav_misses_its_tail(write_wav: Make, tone: Make) -> None:
    assert count_missing_bytes(io.BytesIO(write_wav(tone(1.0)).getvalue()[:-1000])) >= 999


def test_a_streamed_wav_makes_no_claim(write_wav: Make, tone: Make) -> None:
    data = bytearray(write_wav(tone(1.0)).getvalue())
    data[4:8] = b"\xff\xff\xff\xff"
    assert count_missing_bytes(io.BytesIO(data)) == 0


def test_an_mp3_with_its_length_is_believed(encode: Make, tone: Make) -> None:
    media = encode(tone(2.0, 48_000), "mp3", "libmp3lame")
    assert not has_estimated_duration("mp3", media)


def test_the_length_of_a_bare_stream_is_a_guess(encode: Make, tone: Make) -> None:
    media = encode(tone(2.0, 48_000), "mp3", "libmp3lame", options={"write_xing": "0"})
    assert has_estimated_duration("mp3", media)
    assert has_estimated_duration("aac", io.BytesIO())
