"""Facts about a recording before a word of it is recognized."""

from dataclasses import dataclass

from meet_transcriber.core.transcript import TranscriptWarning

MAX_CHANNELS = 32
"""Recordings with more channels are refused."""
MAX_SPLIT = 8
"""Most channels that can be kept apart; FLAC holds no more."""
PEAKS_PER_SECOND = 20
"""Steps of a waveform's outline."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a container says about itself.

    Attributes:
        container, codec: FFmpeg's short names, for example `mov,mp4,m4a` and `aac`.
        duration: seconds, None where the container does not say.
        sample_rate_hz, channels: of the audio stream that will be used.
        has_video: there are moving pictures beside the sound.
    """

    container: str
    codec: str
    duration: float | None
    sample_rate_hz: int
    channels: int
    has_video: bool = False


@dataclass(frozen=True, slots=True)
class PreparedAudio:
    """What preparing the working audio found out.

    Attributes:
        duration: seconds of sound that could be decoded.
        channels: kept in the working audio: 1, or one per independent channel.
        gains_db: level correction per kept channel, applied on reading.
        warnings: for example that the recording ends in the middle.
    """

    duration: float
    channels: int
    gains_db: tuple[float, ...]
    warnings: tuple[TranscriptWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Peaks:
    """A waveform's outline for drawing.

    `data` holds, per step of 1 / `per_second` seconds, the lowest and the highest sample
    as two signed bytes, all channels folded into one.
    """

    per_second: int
    data: bytes
