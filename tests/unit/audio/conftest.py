"""Recordings made on the spot."""

import io
import wave
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.audio.stream import AudioStream

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.core.media import Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.ports.engines import AudioSource

Samples = npt.NDArray[np.float32]


def write_wav(samples: Samples, rate: int = 16_000) -> io.BytesIO:
    """(channels, samples) or (samples,) as a 16-bit WAV file."""
    samples = np.atleast_2d(samples)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(len(samples))
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((samples.T * 32767).astype("<i2").tobytes())
    file.seek(0)
    return file


def encode(
    samples: Samples,
    container: str,
    codec: str,
    rate: int = 48_000,
    starts: tuple[float, ...] = (0.0,),
    options: dict[str, str] | None = None,
) -> io.BytesIO:
    """Mono samples in any container, written once at each of `starts` seconds."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "recording")
        _encode_to(path, samples, container, codec, rate, starts, options or {})
        return io.BytesIO(path.read_bytes())


def _encode_to(
    path: Path,
    samples: Samples,
    container: str,
    codec: str,
    rate: int,
    starts: tuple[float, ...],
    options: dict[str, str],
) -> None:
    with av.open(path, "w", format=container, container_options=options) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, AudioStream)
        for start in starts:
            frame = av.AudioFrame.from_ndarray(
                (np.atleast_2d(samples) * 32767).astype(np.int16), format="s16", layout="mono"
            )
            frame.sample_rate = rate
            frame.pts = round(start * rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def tone(seconds: float, rate: int = 16_000, amplitude: float = 0.25, hz: float = 440) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def prepare(
    media: io.BytesIO, options: Options | None = None, max_duration: float = 600.0
) -> tuple[PreparedAudio, Peaks, AudioSource]:
    decoder, working = PyavDecoder(max_duration), io.BytesIO()
    prepared, peaks = decoder.prepare(media, working, options or Options(), lambda _: None)
    return prepared, peaks, decoder.open(working, prepared)


@pytest.fixture(name="write_wav")
def write_wav_fixture() -> Callable[..., io.BytesIO]:
    return write_wav


@pytest.fixture(name="encode")
def encode_fixture() -> Callable[..., io.BytesIO]:
    return encode


@pytest.fixture(name="tone")
def tone_fixture() -> Callable[..., Samples]:
    return tone


@pytest.fixture(name="prepare")
def prepare_fixture() -> Callable[..., tuple[PreparedAudio, Peaks, AudioSource]]:
    return prepare
