"""Properties of a recording and of its working audio."""

from dataclasses import dataclass

from meet_transcriber.core.transcript import TranscriptWarning

MAX_CHANNELS = 32
"""Recordings with more channels are refused."""
MAX_SPLIT = 8
"""Maximum number of channels kept separate, the limit of FLAC."""
PEAKS_PER_SECOND = 20
"""Resolution of a waveform's outline."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What the header of a recording states.

    Attributes:
        container, codec: FFmpeg's short names, for example `mov,mp4,m4a` and `aac`.
        duration: seconds; None if the container does not state it.
        sample_rate_hz, channels: of the audio stream that will be used.
        has_video: the recording has a video stream other than cover art.
    """

    container: str
    codec: str
    duration: float | None
    sample_rate_hz: int
    channels: int
    has_video: bool = False


@dataclass(frozen=True, slots=True)
class PreparedAudio:
    """The result of preparing the working audio.

    Attributes:
        duration: seconds of audio that could be decoded.
        channels: of the working audio: 1, or one per independent channel.
        gains_db: level correction per channel, applied on reading.
        warnings: for example that the recording is truncated.
    """

    duration: float
    channels: int
    gains_db: tuple[float, ...]
    warnings: tuple[TranscriptWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Peaks:
    """The outline of a waveform, for drawing.

    `data` holds, per step of 1 / `per_second` seconds, the lowest and the highest sample
    of all channels as two signed bytes.
    """

    per_second: int
    data: bytes
