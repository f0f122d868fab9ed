"""Peak memory of preparing a recording and detecting speech, for short and long recordings.

Run: python -m benchmarks.memory [MINUTES ...]    (default 10 240)

Each length runs in a new process on the repeated sample meeting, as a stereo WAV file that is
generated while it is read.
"""

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import BinaryIO, cast

import av
import numpy as np

from benchmarks.diarizers.measured import peak_bytes
from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.vad import SileroDetector
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import total_seconds

RATE_HZ = 16_000
_FRAME_BYTES = 4
_HEADER_BYTES = 44


class EndlessMeeting(io.RawIOBase):
    """A seekable stereo WAV file of `seconds` that repeats one short meeting."""

    def __init__(self, seconds: float) -> None:
        self._loop = _sample()
        self._size = _HEADER_BYTES + round(seconds * RATE_HZ) * _FRAME_BYTES
        self._header = _header(self._size - _HEADER_BYTES)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = (0, self._at, self._size)[whence] + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._size - self._at if size < 0 else min(size, self._size - self._at)
        data = b"".join(self._pieces(self._at, self._at + wanted))
        self._at += len(data)
        return data

    def _pieces(self, at: int, end: int) -> Iterator[bytes]:
        if at < _HEADER_BYTES:
            yield self._header[at:end]
            at = _HEADER_BYTES
        while at < end:
            offset = (at - _HEADER_BYTES) % len(self._loop)
            piece = self._loop[offset : offset + end - at]
            yield piece
            at += len(piece)


def _sample() -> bytes:
    sample = files("meet_transcriber.samples") / "standup.ogg"
    resampler = av.AudioResampler("s16", "stereo", RATE_HZ)
    with sample.open("rb") as file, av.open(file, mode="r") as container:
        frames = container.decode(audio=0)
        pieces = [piece.to_ndarray() for frame in frames for piece in resampler.resample(frame)]
    return np.concatenate(pieces, axis=1).tobytes()


def _header(size: int) -> bytes:
    file = io.BytesIO()
    form = np.array([1 | 2 << 16, RATE_HZ, RATE_HZ * 4, 4 | 16 << 16], "<u4").tobytes()
    file.write(b"RIFF" + np.uint32(size + 36).tobytes() + b"WAVEfmt " + np.uint32(16).tobytes())
    file.write(form + b"data" + np.uint32(size).tobytes())
    return file.getvalue()


def peak_megabytes(minutes: float) -> float:
    """Return the peak memory of a process that prepares this much audio and detects speech."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", str(minutes)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.split()[0])


def _prepare(minutes: float) -> None:
    media = cast(BinaryIO, EndlessMeeting(minutes * 60))
    decoder = PyavDecoder(max_duration=minutes * 60 + 1)
    with tempfile.TemporaryFile() as working:
        prepared, _ = decoder.prepare(media, working, Options(), lambda _: None)
        audio = decoder.open(working, prepared)
        spans = SileroDetector().detect(audio, 0, lambda _: None)
    assert total_seconds(spans) > 0.3 * audio.duration
    print(peak_bytes() / 1e6)


def main(lengths: list[float]) -> None:
    figures = []
    for minutes in lengths:
        started = time.perf_counter()
        figures.append(peak_megabytes(minutes))
        print(
            f"{minutes:6.0f} minutes: peak {figures[-1]:6.1f} MB, "
            f"{time.perf_counter() - started:6.1f} s"
        )
    print(f"longest against shortest: {figures[-1] / figures[0]:.3f} x")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _prepare(float(sys.argv[2]))
    else:
        main([float(argument) for argument in sys.argv[1:]] or [10.0, 240.0])
