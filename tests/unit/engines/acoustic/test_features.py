"""Cepstra and pitch of frames inside speech."""

import numpy as np
import pytest

from meet_transcriber.core.transcript import Span
from meet_transcriber.engines.acoustic.features import CEPSTRA, extract
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform


class _Array:
    """An AudioSource on an array that remembers its longest read."""

    channels = 1

    def __init__(self, samples: Waveform) -> None:
        self._samples = samples
        self.longest = 0.0

    @property
    def duration(self) -> float:
        return len(self._samples) / SAMPLE_RATE_HZ

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        assert channel == 0
        self.longest = max(self.longest, end - start)
        return self._samples[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]


def _pulses(hz: float, seconds: float) -> _Array:
    samples = np.zeros(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32)
    samples[:: round(SAMPLE_RATE_HZ / hz)] = 0.5
    return _Array(samples)


def test_no_speech_has_no_frames() -> None:
    frames = extract(_pulses(100, 1.0), (), lambda _share: None)
    assert len(frames) == 0
    assert frames.cepstra.shape == (0, CEPSTRA)


@pytest.mark.parametrize("hz", [80, 100, 200, 320])
def test_pitch_is_found_without_octave_errors(hz: float) -> None:
    frames = extract(_pulses(hz, 1.0), (Span(0.0, 1.0),), lambda _share: None)
    assert np.median(2 ** frames.pitch[frames.pitch > 0]) == pytest.approx(hz, rel=0.03)


def test_frames_lie_inside_speech() -> None:
    spans = (Span(0.2, 0.5), Span(1.0, 1.6))
    times = extract(_pulses(100, 2.0), spans, lambda _share: None).times
    assert all(any(span.start <= time <= span.end for span in spans) for time in times)


def test_a_long_span_is_read_in_blocks_and_told() -> None:
    audio, told = _pulses(100, 65.0), list[float]()
    extract(audio, (Span(0.0, 65.0),), told.append)
    assert audio.longest <= 30.0
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
