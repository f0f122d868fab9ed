"""A second and a half of sound in ten containers, and mutations of it."""

import io
import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.audio.stream import AudioStream

CONTAINERS = {
    "wav": "pcm_s16le",
    "flac": "flac",
    "ogg": "libopus",
    "mp3": "libmp3lame",
    "mp4": "aac",
    "webm": "libopus",
    "mov": "alac",
    "avi": "mp2",
    "aiff": "pcm_s16be",
    "mpegts": "aac",
}
_RATE_HZ = 48_000
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEAD_BYTES = 1500  # where most of what a container says stands


def in_container(container: str, codec: str, seconds: float, amplitude: float = 0.25) -> bytes:
    """A tone, or silence, as a file; in two channels, one of them softer."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "recording")  # some containers are finished by seeking back
        with av.open(path, "w", format=container) as output:
            stream = output.add_stream(codec, rate=_RATE_HZ, layout="stereo")
            assert isinstance(stream, AudioStream)
            frame = av.AudioFrame.from_ndarray(_tone(seconds, amplitude), "s16", "stereo")
            frame.sample_rate = _RATE_HZ
            frame.pts = 0
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path.read_bytes()


def _tone(seconds: float, amplitude: float) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    time = np.arange(round(seconds * _RATE_HZ)) / _RATE_HZ
    one = amplitude * np.sin(2 * np.pi * 440 * time) * 32767
    return np.stack([one, one / 2], axis=1).reshape(1, -1).astype(np.int16)


@cache
def whole(container: str) -> bytes:
    """The recording that mutations of this container begin with."""
    return in_container(container, CONTAINERS[container], 1.5)


def mutated(container: str, seed: int) -> io.BytesIO:
    """The same bytes for the same seed: one to four things are done to a whole recording."""
    choice = random.Random(f"{container} {seed}")  # no secret hangs on it
    data = bytearray(whole(container))
    for _ in range(choice.randint(1, 4)):
        choice.choice(_MUTATIONS)(data, choice)
    return io.BytesIO(data)


def _place(data: bytearray, choice: random.Random) -> int:
    most = min(len(data), _HEAD_BYTES) if choice.random() < 0.7 else len(data)
    return choice.randrange(max(most, 1))


def _flip(data: bytearray, choice: random.Random) -> None:
    for _ in range(min(choice.randint(1, 16), len(data))):
        data[_place(data, choice)] ^= 1 << choice.randrange(8)


def _cut(data: bytearray, choice: random.Random) -> None:
    del data[choice.randrange(max(len(data), 1)) :]


def _leave_out(data: bytearray, choice: random.Random) -> None:
    at = _place(data, choice)
    del data[at : at + choice.randint(1, 400)]


def _repeat(data: bytearray, choice: random.Random) -> None:
    at = _place(data, choice)
    piece = bytes(data[at : at + choice.randint(1, 400)])
    data[at:at] = piece * choice.choice((1, 2, 50))


def _claim(data: bytearray, choice: random.Random) -> None:
    """A number that nobody expected, in either order of bytes."""
    at = _place(data, choice)
    size = choice.choice((1, 2, 4, 8))
    number = choice.choice(_NUMBERS) % (1 << 8 * size)
    data[at : at + size] = number.to_bytes(size, choice.choice(("big", "little")))


def _fill(data: bytearray, choice: random.Random) -> None:
    at = _place(data, choice)
    end = min(at + choice.randint(1, 200), len(data))
    data[at:end] = choice.randbytes(end - at) if choice.random() < 0.5 else bytes(end - at)


def _graft(data: bytearray, choice: random.Random) -> None:
    """A piece of another container."""
    other = whole(choice.choice(sorted(CONTAINERS)))
    start, at = choice.randrange(len(other)), _place(data, choice)
    data[at:at] = other[start : start + choice.randint(8, 2000)]


_MUTATIONS = (_flip, _flip, _cut, _leave_out, _repeat, _claim, _claim, _fill, _graft)
