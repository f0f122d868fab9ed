"""What cannot be used is refused in words."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.core.errors import InvalidAudio, UnreadableAudio, UnsupportedFormat

Make = Callable[..., Any]

REFUSED = [
    (b"", "empty"),
    (b"Minutes of the meeting\n" * 40, "text"),
    (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(500), "picture"),
    (b"\x89PNG\r\n\x1a\n" + bytes(500), "picture"),
    (b"#EXTM3U\nclip.wav\n", "playlist"),
    (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 5000 RTP/AVP 0\r\n", "playlist"),
    (b'<?xml version="1.0"?><MPD></MPD>', "playlist"),
    (b"1\n00:00:01,000 --> 00:00:02,000\nHello\n", "text"),
    (b"%PDF-1.4\n" + bytes(range(256)) * 20, "not audio or video"),
    (bytes(5000), "not audio or video"),
]


def wav_header(rate: int, channels: int) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 % 2**32, channels * 2, 16)
    return b"RIFF" + struct.pack("<I", 1036) + b"WAVEfmt \x10\0\0\0" + form + b"data\0\4\0\0"


def probe(data: bytes) -> Any:
    return PyavDecoder().probe(io.BytesIO(data))


@pytest.mark.parametrize(("data", "why"), REFUSED)
def test_what_is_no_recording_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(UnsupportedFormat, match=why):
        probe(data)


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (16_000, 0), (4_000_000_000, 1)])
def test_impossible_headers_are_refused(rate: int, channels: int) -> None:
    with pytest.raises(UnreadableAudio):
        probe(wav_header(rate, channels) + bytes(1024))


def test_a_coding_nobody_knows_is_refused() -> None:
    data = bytearray(wav_header(16_000, 1) + bytes(1024))
    data[20:22] = b"\x77\x77"
    with pytest.raises(UnsupportedFormat, match="unsupported codec"):
        probe(bytes(data))


def test_a_playlist_behind_a_tag_is_not_followed(
    tmp_path: Path, write_wav: Make, tone: Make
) -> None:
    target = tmp_path / "secret.wav"
    target.write_bytes(write_wav(tone(1.0)).getvalue())
    tag = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
    for text in (f"#EXTM3U\n#EXTINF:2,\n{target}\n", f"ffconcat version 1.0\nfile {target}\n"):
        with pytest.raises(InvalidAudio):
            probe(tag + text.encode())


def test_64_channels_are_refused_in_words() -> None:
    with pytest.raises(UnsupportedFormat, match="64 channels"):
        probe(wav_header(16_000, 64) + bytes(1024))


def test_an_mp4_without_its_index_is_refused(encode: Make, tone: Make) -> None:
    whole = encode(tone(3.0, 48_000), "mp4", "aac").getvalue()
    with pytest.raises(UnreadableAudio, match="no usable index"):
        probe(whole[: len(whole) // 2])


def test_an_encrypted_mp4_is_refused(encode: Make, tone: Make) -> None:
    keys = {"encryption_key": "00112233445566778899aabbccddeeff", "encryption_kid": "00" * 16}
    options = {"encryption_scheme": "cenc-aes-ctr", **keys}
    with pytest.raises(UnsupportedFormat, match="encrypted"):
        probe(encode(tone(1.0, 48_000), "mp4", "aac", options=options).getvalue())


def test_a_video_without_sound_is_refused() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        output.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        output.mux(stream.encode(None))
    with pytest.raises(UnsupportedFormat, match="video without sound"):
        probe(file.getvalue())


@pytest.mark.parametrize("head", ["ffconcat version 1.0\nfile ", "#EXTM3U\n#EXTINF:2,\n", "file "])
@pytest.mark.parametrize("shift", [b"", b"\xef\xbb\xbf", b"\n\n", b"\x00"])
def test_a_file_that_a_playlist_names_is_never_read(
    head: str, shift: bytes, tmp_path: Path, write_wav: Make, tone: Make
) -> None:
    target = tmp_path / "secret.wav"
    target.write_bytes(write_wav(tone(1.0)).getvalue())
    with pytest.raises(InvalidAudio):
        probe(shift + f"{head}{target}\n".encode())


def test_a_playlist_behind_a_container_s_name_is_not_followed(
    tmp_path: Path, write_wav: Make, tone: Make
) -> None:
    target = tmp_path / "secret.wav"
    target.write_bytes(write_wav(tone(1.0)).getvalue())
    upload = tmp_path / "meeting.m3u8"
    upload.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n")
    with upload.open("rb") as media, pytest.raises(UnsupportedFormat, match="not followed"):
        PyavDecoder().probe(media)


def test_the_facts_of_a_recording_are_told(write_wav: Make, tone: Make) -> None:
    info = PyavDecoder().probe(write_wav(np.stack([tone(2.0, 8000)] * 2), 8000))
    assert (info.container, info.codec) == ("wav", "pcm_s16le")
    assert (info.duration, info.sample_rate_hz, info.channels) == (2.0, 8000, 2)
    assert not info.has_video
