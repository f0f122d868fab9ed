"""What a voice sounds like, frame by frame: cepstra of a mel spectrum, and pitch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.transcript import Span
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress, Waveform

HOP_SECONDS = 0.01
CEPSTRA = 20

_HOP = 160
_WINDOW = 400  # 25 ms
_FFT = 512
_FILTERS = 30
_LOW_HZ, _HIGH_HZ = 100.0, 7600.0
_PREEMPHASIS = 0.97
_BLOCK_SECONDS = 30.0
_PITCH_WINDOW = 640  # 40 ms: two periods of 50 Hz
_PITCH_FFT = 2048
_VOICED = 0.5
_PITCH_HZ = (60.0, 400.0)

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Frames:
    """
    Frames of speech, 10 ms apart, silence left out.

    Attributes:
        times: (n,) seconds of each frame's middle.
        cepstra: (n, 20) mel cepstra 1 to 20; loudness, the 0th, is kept apart.
        energy: (n,) log energy.
        pitch: (n,) log2 of Hz; 0 where unvoiced.
        voicing: (n,) height of the autocorrelation's peak, in [0, 1].
    """

    times: Array
    cepstra: Array
    energy: Array
    pitch: Array
    voicing: Array

    def __len__(self) -> int:
        return len(self.times)


def extract(audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Frames:
    """Features of all frames inside `speech`; audio is read in blocks of half a minute."""
    pieces = []
    total = max(speech[-1].end, 1e-6) if speech else 1.0
    for start, end in _blocks(speech):
        samples = audio.read(start, end)
        if len(samples) >= _WINDOW:
            pieces.append(_frames_of(samples, start))
        progress(end / total)
    if not pieces:
        empty = np.zeros(0, np.float32)
        return Frames(empty, np.zeros((0, CEPSTRA), np.float32), empty, empty, empty)
    return Frames(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def _blocks(speech: Sequence[Span]) -> Iterator[tuple[float, float]]:
    for span in speech:
        start = span.start
        while start < span.end:
            end = min(start + _BLOCK_SECONDS, span.end)
            yield start, end
            start = end


def _frames_of(samples: Waveform, start: float) -> tuple[Array, Array, Array, Array, Array]:
    count = 1 + (len(samples) - _WINDOW) // _HOP
    emphasized = np.append(samples[0], samples[1:] - _PREEMPHASIS * samples[:-1])
    spectrum = np.abs(np.fft.rfft(_sliced(emphasized, count, _WINDOW) * np.hamming(_WINDOW), _FFT))
    mel = np.log(np.maximum(np.square(spectrum) @ _filterbank(), 1e-8))
    cepstra = mel @ _cosines()
    power = np.mean(np.square(_sliced(samples, count, _WINDOW)), axis=1)
    energy = np.log(np.maximum(power, 1e-10))
    pitch, voicing = _pitch(samples, count)
    times = start + (np.arange(count) * _HOP + _WINDOW / 2) / SAMPLE_RATE_HZ
    return (
        times.astype(np.float32),
        cepstra.astype(np.float32),
        energy.astype(np.float32),
        pitch,
        voicing,
    )


def _sliced(samples: npt.NDArray[np.floating], count: int, width: int) -> npt.NDArray[np.floating]:
    padded = np.pad(samples, (0, max(0, (count - 1) * _HOP + width - len(samples))))
    return np.lib.stride_tricks.sliding_window_view(padded, width)[::_HOP][:count]


@cache
def _filterbank() -> npt.NDArray[np.float64]:
    """(fft bins, filters) triangles, equally spaced on the mel scale (O'Shaughnessy 1987)."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (_LOW_HZ, _HIGH_HZ))
    edges = 700 * (10 ** (np.linspace(low, high, _FILTERS + 2) / 2595) - 1)
    bins = np.arange(_FFT // 2 + 1) * SAMPLE_RATE_HZ / _FFT
    rise = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    triangles: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rise, fall))
    return triangles


@cache
def _cosines() -> npt.NDArray[np.float64]:
    """(filters, cepstra) of the DCT-II without its constant row."""
    angles = np.pi * (np.arange(_FILTERS) + 0.5)[:, None] * np.arange(1, CEPSTRA + 1) / _FILTERS
    result: npt.NDArray[np.float64] = np.cos(angles) * np.sqrt(2 / _FILTERS)
    return result


def _pitch(samples: Waveform, count: int) -> tuple[Array, Array]:
    """Log2 pitch and voicing by normalized autocorrelation (Boersma 1993)."""
    window = np.hanning(_PITCH_WINDOW)
    own = np.fft.irfft(np.abs(np.fft.rfft(window, _PITCH_FFT)) ** 2)[:_PITCH_WINDOW]
    lags = np.arange(int(SAMPLE_RATE_HZ / _PITCH_HZ[1]), int(SAMPLE_RATE_HZ / _PITCH_HZ[0]) + 1)
    frames = _sliced(samples, count, _PITCH_WINDOW)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, _PITCH_FFT, axis=1)) ** 2, axis=1)
    normal = correlation[:, lags] / np.maximum(correlation[:, :1], 1e-9) / (own[lags] / own[0])
    # a small price on long lags keeps the first period from losing to its multiples
    best = np.argmax(normal - 0.02 * np.log2(lags / lags[0]), axis=1)
    voicing = np.clip(normal[np.arange(count), best], 0.0, 1.0)
    pitch = np.where(voicing > _VOICED, np.log2(SAMPLE_RATE_HZ / lags[best]), 0.0)
    return pitch.astype(np.float32), voicing.astype(np.float32)
