"""Files made to do harm, each by the trick it is named after."""

import io
import struct
from tempfile import TemporaryFile

import av
import numpy as np

RATE_HZ = 16_000


def box(name: bytes, content: bytes) -> bytes:
    """A box of MP4 (ISO/IEC 14496-12, 4.2)."""
    return struct.pack(">I", len(content) + 8) + name + content


def wav(rate: int = RATE_HZ, channels: int = 1, size: int = 1024) -> bytes:
    """A header that claims this, and `size` zero bytes."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 % 2**32, channels * 2, 16)
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt \x10\0\0\0" + form
    return head + b"data" + struct.pack("<I", size) + bytes(size)


def movie(seconds: float = 1.0, video: bool = False, hz: float = 440.0) -> bytes:
    """A MOV file of a tone, with a small picture beside it where wanted."""
    with TemporaryFile() as file:
        with av.open(file, "w", format="mov") as output:
            sound = output.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
            if video:
                picture = output.add_stream(
                    "mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p"
                )
                output.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
                output.mux(picture.encode(None))
            time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
            samples = (8000 * np.sin(2 * np.pi * hz * time)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", "mono")
            frame.sample_rate, frame.pts = RATE_HZ, 0
            output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
        file.seek(0)
        return file.read()


def with_tracks(count: int) -> bytes:
    """A movie whose only track is there so many times."""
    data = movie()
    start, index = _box_in(data, b"moov")
    track_start, track = _box_in(index, b"trak")
    more = index[8:track_start] + track * count + index[track_start + len(track) :]
    return data[:start] + box(b"moov", more) + data[start + len(index) :]


def with_sound_elsewhere(path: str) -> bytes:
    """A movie that says its samples are in another file: an alias in its `dref`."""
    data = movie(hz=200.0)
    start, index = _box_in(data, b"moov")
    alias = _alias(path)
    entry = box(b"alis", bytes(4) + alias)
    reference = box(b"dref", bytes(4) + struct.pack(">I", 1) + entry)
    grown = _replaced(index, b"dref", reference, (b"dinf", b"minf", b"mdia", b"trak", b"moov"))
    return data[:start] + grown + data[start + len(index) :]


def _alias(path: str) -> bytes:
    """What Finder writes for a file, as far as FFmpeg reads it."""
    name = path.encode()
    volume = b"\x04disk" + bytes(23)
    short = bytes([min(len(name), 63)]) + name[:63].ljust(63, b"\0")
    head = bytes(10) + volume + bytes(12) + short + bytes(16) + struct.pack(">hh", 1, 1)
    places = struct.pack(">hH", 18, len(name)) + name + bytes(len(name) % 2)
    places += struct.pack(">hH", 2, len(name)) + name + bytes(len(name) % 2)
    return head + bytes(16) + places + struct.pack(">hH", -1, 0)


def with_picture_of(width: int, height: int) -> bytes:
    """A movie whose picture claims to be this large."""
    data = bytearray(movie(video=True))
    at = data.index(b"mp4v", data.index(b"stsd")) + 28
    data[at : at + 4] = struct.pack(">HH", width, height)
    return bytes(data)


def claiming_samples(count: int) -> bytes:
    """A movie whose index claims so many samples."""
    data = bytearray(movie())
    for name in (b"stsz", b"stts", b"stco"):
        at = data.index(name) + (12 if name == b"stsz" else 8)
        data[at : at + 4] = struct.pack(">I", count)
    return bytes(data)


def with_sparse_samples(count: int) -> bytes:
    """A movie of so many samples of one byte, by a few numbers of its index."""
    data = movie(0.01)
    start, index = _box_in(data, b"moov")
    numbers = struct.pack
    around = b"stbl", b"minf", b"mdia", b"trak", b"moov"
    for name, content in {
        b"stts": numbers(">IIIIII", 0, 2, 1, 2, count - 1, 1),
        b"stsz": numbers(">III", 0, 1, count),
        b"stsc": numbers(">IIIII", 0, 1, 1, count, 1),
    }.items():
        index = _replaced(index, name, box(name, content), around)
    return data[:start] + index + data[start + len(_box_in(data, b"moov")[1]) :]


def nested(depth: int) -> bytes:
    """Boxes within boxes."""
    sizes = range(8 * depth, 0, -8)
    return box(b"ftyp", b"isom\0\0\0\0") + b"".join(
        struct.pack(">I", size) + b"moov" for size in sizes
    )


def hours_of_silence(seconds: int) -> bytes:
    """FLAC in few bytes, whose header does not say how long it is."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as output:
        stream = output.add_stream("flac", rate=8000, layout="mono")
        silence = np.zeros((1, 8000 * 60), np.int16)
        for minute in range(seconds // 60):
            frame = av.AudioFrame.from_ndarray(silence, "s16", "mono")
            frame.sample_rate, frame.pts = 8000, minute * 8000 * 60
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    data = bytearray(file.getvalue())
    data[21] &= 0xF0  # STREAMINFO ends its 36 bits of length in here
    data[22:26] = bytes(4)
    return bytes(data)


def hours_of_holes(starts: tuple[float, ...]) -> bytes:
    """A tenth of a second of sound at each of these seconds, and nothing between."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for start in starts:
            frame = av.AudioFrame.from_ndarray(np.ones((1, 1600), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = RATE_HZ, round(start * RATE_HZ)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    data = file.getvalue()
    at = data.index(b"\x44\x89")  # Duration
    return data[:at] + b"\xec\x89" + data[at + 2 :]  # Void


def _replaced(index: bytes, name: bytes, new: bytes, around: tuple[bytes, ...]) -> bytes:
    """The index with another box of this name, and with the sizes of the boxes around it."""
    at, old = _box_in(index, name)
    changed = index[:at] + new + index[at + len(old) :]
    for outer in around:
        where, _ = _box_in(changed, outer)
        size = int.from_bytes(changed[where : where + 4], "big") + len(new) - len(old)
        changed = changed[:where] + struct.pack(">I", size) + changed[where + 4 :]
    return changed


def _box_in(data: bytes, name: bytes) -> tuple[int, bytes]:
    """Where the first box of this name begins, and the box."""
    start = data.index(name) - 4
    size = int.from_bytes(data[start : start + 4], "big")
    return start, data[start : start + size]
