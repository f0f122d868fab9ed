"""Recordings with as many tags as one asks for."""

import io
import struct
from collections.abc import Callable
from typing import Literal

import av
import numpy as np

from tests.simulated.hostile import box, movie, wav

Codec = Literal["flac", "libopus", "libmp3lame", "pcm_s16le"]

_KEYS = [f"k{number:06d}" for number in range(200_000)]


def with_id3(count: int) -> bytes:
    """MP3 behind an ID3v2.4 tag of so many frames."""
    frames = b"".join(
        b"TXXX" + _syncsafe(len(key) + 3) + b"\0\0\3" + key.encode() + b"\0x"
        for key in _KEYS[:count]
    )
    return b"ID3\4\0\0" + _syncsafe(len(frames)) + frames + _encoded("mp3", "libmp3lame")


def with_comments(container: str, count: int) -> bytes:
    """FLAC or Ogg with so many Vorbis comments."""
    codec: Codec = "flac" if container == "flac" else "libopus"
    return _encoded(container, codec, dict.fromkeys(_KEYS[:count], "x"))


def with_list(count: int) -> bytes:
    """WAV with a list of so many tags."""
    tags = b"".join(
        struct.pack(">I", 0x41414141 + number) + struct.pack("<I", 2) + b"x\0"
        for number in range(count)
    )
    data = wav(size=16_000)
    return data + b"LIST" + struct.pack("<I", len(tags) + 4) + b"INFO" + tags


def with_user_data(count: int) -> bytes:
    """An MP4 whose index has so many tags."""
    items = b"".join(
        box(
            b"----",
            box(b"mean", b"\0\0\0\0x")
            + box(b"name", b"\0\0\0\0" + key.encode())
            + box(b"data", b"\0\0\0\1\0\0\0\0x"),
        )
        for key in _KEYS[:count]
    )
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tags = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", items)))
    data = bytearray(movie())
    at = data.rindex(b"moov") - 4  # behind the sound, so that no position changes
    (size,) = struct.unpack_from(">I", data, at)
    assert at + size == len(data)
    struct.pack_into(">I", data, at, size + len(tags))
    return bytes(data + tags)


def with_matroska_tags(count: int) -> bytes:
    """Matroska with so many tags."""
    return _encoded("matroska", "pcm_s16le", dict.fromkeys(_KEYS[:count], "x"))


def with_picture(size: int) -> bytes:
    """MP3 with cover art of so many bytes."""
    picture = b"\0image/png\0\3\0\x89PNG" + bytes(size)
    frame = b"APIC" + _syncsafe(len(picture)) + b"\0\0" + picture
    return b"ID3\4\0\0" + _syncsafe(len(frame)) + frame + _encoded("mp3", "libmp3lame")


TAGGED: dict[str, Callable[[int], bytes]] = {
    "id3": with_id3,
    "flac": lambda count: with_comments("flac", count),
    "wav": with_list,
    "mp4": with_user_data,
    "matroska": with_matroska_tags,
}


def _syncsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def _encoded(container: str, codec: Codec, tags: dict[str, str] | None = None) -> bytes:
    """A second of noise."""
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(-8000, 8000, (1, 48_000)).astype(np.int16)
    with av.open(file, "w", format=container) as output:
        output.metadata.update(tags or {})
        stream = output.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, "s16", "mono")
        frame.sample_rate = 48_000
        if codec == "libmp3lame":
            frame = av.AudioResampler("s16p", "mono", 48_000).resample(frame)[0]
        for each in (frame, None):
            output.mux(stream.encode(each))
    return file.getvalue()
