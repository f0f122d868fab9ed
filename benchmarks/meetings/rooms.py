"""Room acoustics and noise, and the mixing of a meeting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from benchmarks.meetings.conversation import Placed
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

_EARLY = 0.004  # seconds to the first reflection
_TILT_HZ = 1500.0


@dataclass(frozen=True)
class Room:
    """
    Acoustics of a room.

    Attributes:
        reverb_seconds: RT60; 0 for none.
        direct_db: direct-to-reverberant ratio of the nearest and the farthest seat.
        far_hz: cut-off of the low-pass that distance makes; None for none.
    """

    reverb_seconds: float
    direct_db: tuple[float, float] = (0.0, 0.0)
    far_hz: float | None = None


ROOMS: Mapping[str, Room] = {
    "dry": Room(0.0),
    "small": Room(0.25, (9.0, 3.0)),
    "large": Room(0.7, (4.0, -3.0), far_hz=5000.0),
}

NOISES: Mapping[str, float] = {"quiet": -75.0, "office": -56.0, "loud": -46.0}
"""RMS of the noise in dBFS; speech has about -26."""


@dataclass(frozen=True)
class Seat:
    """Impulse response and gain of one speaker."""

    echo: Waveform
    gain_db: float


def seats(names: Sequence[str], room: Room, generator: np.random.Generator) -> dict[str, Seat]:
    """A random seat and a gain of -6 to 6 dB for every speaker."""
    found = {}
    for name in names:
        near, far = room.direct_db
        echo = impulse_response(room, near + (far - near) * generator.random(), generator)
        found[name] = Seat(echo, generator.uniform(-6.0, 6.0))
    return found


def impulse_response(room: Room, direct_db: float, generator: np.random.Generator) -> Waveform:
    """(samples,) direct sound at 0 and an exponentially decaying tail, normalized to energy 1."""
    if not room.reverb_seconds:
        return np.ones(1, dtype=np.float32)
    time = np.arange(round(room.reverb_seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = generator.standard_normal(len(time)) * 10 ** (-3 * time / room.reverb_seconds)
    tail[: round(_EARLY * SAMPLE_RATE_HZ)] = 0
    tail = lfilter([0.4], [1, -0.6], tail)  # walls absorb high frequencies
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(np.square(tail)))
    tail[0] = 1.0
    if room.far_hz:
        tail = sosfilt(butter(1, room.far_hz, "lowpass", fs=SAMPLE_RATE_HZ, output="sos"), tail)
    return np.asarray(tail / np.sqrt(np.sum(np.square(tail))), dtype=np.float32)


def render(
    meeting: Sequence[Placed],
    places: Mapping[str, Seat],
    noise_dbfs: float,
    generator: np.random.Generator,
) -> Iterator[Waveform]:
    """Yield the mix in blocks, from pieces sorted by start; memory is bounded by a turn."""
    noise = _Noise(noise_dbfs, generator)
    pending = np.zeros(0, dtype=np.float32)
    flushed = 0
    for placed in meeting:
        offset = round(placed.start * SAMPLE_RATE_HZ)
        ready = offset - flushed
        if ready > 0:
            pending = np.pad(pending, (0, max(ready - len(pending), 0)))
            yield noise.over(pending[:ready])
            pending, flushed = pending[ready:], offset
        sound = _heard(placed, places[placed.speaker], generator)
        length = offset - flushed + len(sound)
        pending = np.pad(pending, (0, max(length - len(pending), 0)))
        pending[offset - flushed : length] += sound
    yield noise.over(np.pad(pending, (0, SAMPLE_RATE_HZ)))


def _heard(placed: Placed, seat: Seat, generator: np.random.Generator) -> Waveform:
    """A piece at the microphone, with its gain, a random spectral tilt and the room."""
    sound: npt.NDArray[np.floating] = placed.piece.samples * 10 ** (
        (placed.gain_db + seat.gain_db) / 20
    )
    band = butter(1, _TILT_HZ, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    sound = sound + generator.uniform(-0.2, 0.2) * sosfilt(band, sound)
    if len(seat.echo) > 1:
        sound = fftconvolve(sound, seat.echo)
    return np.asarray(sound, dtype=np.float32)


class _Noise:
    """Low-pass noise, continuous across blocks."""

    def __init__(self, level_dbfs: float, generator: np.random.Generator) -> None:
        self._gain = 10 ** (level_dbfs / 20)
        self._generator = generator
        self._state = np.zeros(1)

    def over(self, block: Waveform) -> Waveform:
        """The block plus noise, clipped to [-1, 1]."""
        white = self._generator.standard_normal(len(block))
        # One pole at 0.9, and the gain that keeps the power of white noise.
        brown, self._state = lfilter([np.sqrt(1 - 0.81)], [1, -0.9], white, zi=self._state)
        return np.asarray(np.clip(block + self._gain * brown, -1.0, 1.0), dtype=np.float32)
