"""Working audio is read to the sample, in any order."""

import io
from typing import Any

import numpy as np
import pytest

from meet_transcriber.audio.working_audio import FlacWriter, WorkingAudio
from meet_transcriber.core.errors import UnreadableAudio
from meet_transcriber.core.media import PreparedAudio

SECONDS = 30


@pytest.fixture(scope="module")
def counted() -> Any:
    """(2, samples): noise in which every place is unlike every other."""
    noise = np.random.default_rng(3).integers(-3000, 3000, (2, SECONDS * 16_000))
    return (noise / 32768).astype(np.float32)


def source(samples: Any, gains_db: tuple[float, ...] = (0.0, 0.0)) -> WorkingAudio:
    file = io.BytesIO()
    writer = FlacWriter(file, len(samples))
    for first in range(0, samples.shape[1], 10_000):
        writer.write(samples[:, first : first + 10_000])
    writer.close()
    return WorkingAudio(file, PreparedAudio(samples.shape[1] / 16_000, len(samples), gains_db))


def test_any_stretch_in_any_order_is_exact(counted: Any) -> None:
    audio = source(counted)
    places = np.random.default_rng(5).uniform(0, SECONDS, (25, 2))
    for start, end in np.sort(places, axis=1):
        for channel in (0, 1):
            expected = counted[channel, round(start * 16_000) : round(end * 16_000)]
            assert np.abs(audio.read(start, end, channel) - expected).max(initial=0) < 1e-6


def test_consecutive_stretches_make_up_the_whole(counted: Any) -> None:
    audio = source(counted)
    read = np.concatenate([audio.read(at / 10, (at + 1) / 10) for at in range(SECONDS * 10)])
    assert np.abs(read - counted[0]).max() < 1e-6


@pytest.mark.parametrize(
    ("start", "end", "length"), [(-5, 1, 1), (29, 99, 1), (40, 50, 0), (5, 4, 0)]
)
def test_stretches_are_cut_at_the_ends(counted: Any, start: float, end: float, length: int) -> None:
    assert len(source(counted).read(start, end)) == length * 16_000


def test_the_gain_is_applied_and_clipped(counted: Any) -> None:
    audio = source(counted, (6.0206, 60.0))
    assert np.abs(audio.read(3, 4, 0) - 2 * counted[0, 48_000:64_000]).max() < 1e-4
    assert np.abs(audio.read(3, 4, 1)).max() == 1.0


def test_damaged_working_audio_is_said_in_words() -> None:
    with pytest.raises(UnreadableAudio, match="submit the recording again"):
        WorkingAudio(io.BytesIO(b"no flac" * 99), PreparedAudio(9.0, 1, (0.0,))).read(0, 1)


def test_working_audio_that_lost_its_tail_is_no_silence(counted: Any) -> None:
    file = io.BytesIO()
    writer = FlacWriter(file, 1)
    writer.write(counted[:1])
    writer.close()
    cut = io.BytesIO(file.getvalue()[: len(file.getvalue()) // 2])
    with pytest.raises(UnreadableAudio):
        WorkingAudio(cut, PreparedAudio(SECONDS, 1, (0.0,))).read(0, SECONDS)


def test_sequential_reading_does_not_seek(counted: Any) -> None:
    seeks: list[int] = []

    class Watched(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            seeks.append(offset)
            return super().seek(offset, whence)

    file = Watched()
    writer = FlacWriter(file, 1)
    writer.write(counted[:1])
    writer.close()
    audio = WorkingAudio(file, PreparedAudio(SECONDS, 1, (0.0,)))
    audio.read(0, 1)
    seeks.clear()
    for second in range(1, SECONDS):
        audio.read(second, second + 1)
    assert not seeks


@pytest.mark.parametrize("samples", [1, 100, 4000, 4608, 5000])
def test_very_short_recordings_are_read_back_and_forth(counted: Any, samples: int) -> None:
    audio = source(counted[:, :samples])
    middle = samples // 2 / 16_000
    assert len(audio.read(middle, 1)) == samples - samples // 2
    assert np.abs(audio.read(0, 1) - counted[0, :samples]).max() < 1e-6


def test_a_quiet_recording_keeps_its_resolution(counted: Any) -> None:
    quiet = counted[:1] * np.float32(10**-1.5)
    audio = source(quiet, (30.0,))
    assert np.abs(audio.read(0, SECONDS) - counted[0]).max() < 1e-4


def test_loud_audio_takes_the_room_of_16_bits() -> None:
    noise = np.random.default_rng(1).normal(0, 0.2, (1, 160_000)).astype(np.float32).clip(-1, 1)
    file = io.BytesIO()
    writer = FlacWriter(file, 1)
    writer.write(noise)
    writer.close()
    assert len(file.getvalue()) < 2 * noise.size
