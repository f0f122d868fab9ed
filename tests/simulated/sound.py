"""Samples in memory as an AudioSource."""

from dataclasses import dataclass

from meet_transcriber.core.transcript import Span
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform


@dataclass(frozen=True, eq=False)
class Sound:
    """An AudioSource of one channel."""

    samples: Waveform
    channels: int = 1

    @property
    def duration(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ

    @property
    def whole(self) -> list[Span]:
        """Speech from its beginning to its end."""
        return [Span(0.0, self.duration)]

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        return self.samples[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]
