"""Readers: recordings of one person each, their speech, and pieces cut from them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from meet_transcriber.audio.vad import SileroDetector
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.transcript import Span, Turn, merge_spans, total_seconds
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

LEVEL_DBFS = -26.0
"""RMS level that every reader's speech is normalized to."""

PAUSE = 0.3
"""Seconds of silence that end a reference turn."""

_STEP = 0.01
_QUIET_DB = 35.0  # below the loud frames of the recording
_CUT = 0.05  # seconds; a pause this long is a place to cut at
_UNCUT = 4.0  # seconds; longer stretches are also cut at their quietest frames
_LEAST_SPEECH = 8.0  # seconds; readers with less are left out
_SEAM = 0.5  # seconds of silence between stretches of one person
_EDGE = 0.1  # seconds that reference boundaries may be off
_SUFFIXES = (".flac", ".wav")


@dataclass(frozen=True)
class Samples:
    """An AudioSource of one channel in memory."""

    samples: Waveform
    channels: int = 1

    @property
    def duration(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        assert channel < self.channels
        first, last = (max(round(at * SAMPLE_RATE_HZ), 0) for at in (start, end))
        return self.samples[first:last]


@dataclass(frozen=True)
class Reader:
    """
    One person's speech.

    Attributes:
        samples: (samples,) float32, 16 kHz, speech at `LEVEL_DBFS`.
        speech: spans of speech, exact to 10 ms, split at pauses over `PAUSE`.
        cuts: seconds at which a piece may begin or end, ascending.
    """

    name: str
    samples: Waveform
    speech: tuple[Span, ...]
    cuts: tuple[float, ...]


@dataclass(frozen=True)
class Piece:
    """The part of a recording from `start` to `end` seconds."""

    reader: Reader
    start: float
    end: float

    @property
    def duration(self) -> float:
        return self.end - self.start

    @property
    def speech(self) -> tuple[Span, ...]:
        """Spans of speech, in seconds from the start of the piece."""
        return tuple(
            Span(max(span.start, self.start) - self.start, min(span.end, self.end) - self.start)
            for span in self.reader.speech
            if span.start < self.end and span.end > self.start
        )

    @property
    def samples(self) -> Waveform:
        """(samples,) float32; the ends are faded over 5 ms."""
        cut = Samples(self.reader.samples).read(self.start, self.end).copy()
        ramp = np.linspace(0, 1, round(0.005 * SAMPLE_RATE_HZ), dtype=np.float32)
        cut[: len(ramp)] *= ramp
        cut[-len(ramp) :] *= ramp[::-1]
        return cut


def piece_of(reader: Reader, seconds: float, chance: random.Random) -> Piece:
    """A random piece of about `seconds`, at least 1 s, that begins and ends at cuts."""
    start = chance.choice([at for at in reader.cuts[:-1] if at + 1 <= reader.cuts[-1]])
    ends = [at for at in reader.cuts if at - start >= 1]
    return Piece(reader, start, min(ends, key=lambda at: abs(at - start - seconds)))


def backchannel_of(reader: Reader, chance: random.Random) -> Piece:
    """A piece of 0.3 to 1 s from the start of a span to its quietest frame."""
    span = chance.choice([each for each in reader.speech if each.duration >= PAUSE])
    least = round((span.start + PAUSE) / _STEP)
    levels = _levels(reader.samples)[least : round(min(span.end, span.start + 1.0) / _STEP) + 1]
    quietest = least + int(np.argmin(levels)) if len(levels) else least
    return Piece(reader, span.start, quietest * _STEP)


def readers_in(folder: Path) -> list[Reader]:
    """A reader for every recording in the folder with enough speech, sorted by name."""
    files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    return _with_enough([reader_of(path.stem, _read(path)) for path in files])


def people_in(folder: Path) -> list[Reader]:
    """
    A reader for every speaker with enough non-overlapped speech in the folder's annotated WAVs.

    A label means the same person in all recordings, as in the AMI corpus.
    """
    stretches: dict[str, list[Waveform]] = {}
    for path in sorted(folder.glob("*.rttm")):
        sound = Samples(_read(path.with_suffix(".wav")))
        for turn in _alone(read_transcript(path).turns):
            stretches.setdefault(turn.speaker, []).append(sound.read(turn.start, turn.end))
    seam = np.zeros(round(_SEAM * SAMPLE_RATE_HZ), dtype=np.float32)
    found = [
        reader_of(name, np.concatenate([each for cut in cuts for each in (cut, seam)]))
        for name, cuts in sorted(stretches.items())
    ]
    return _with_enough(found)


def _with_enough(readers: Sequence[Reader]) -> list[Reader]:
    return [reader for reader in readers if total_seconds(reader.speech) >= _LEAST_SPEECH]


def reader_of(name: str, samples: Waveform) -> Reader:
    """Detect the speech in a recording of one person and normalize its level."""
    speech = _speech(samples)
    if not speech:
        return Reader(name, samples, (), ())
    sound = Samples(samples)
    said = np.concatenate([sound.read(span.start, span.end) for span in speech])
    gain = 10 ** (LEVEL_DBFS / 20) / float(np.sqrt(np.mean(np.square(said))))
    levelled = np.asarray(samples * gain, dtype=np.float32)
    return Reader(name, levelled, speech, tuple(_cuts(levelled, speech)))


def _read(path: Path) -> Waveform:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    common = gcd(rate, SAMPLE_RATE_HZ)
    mono = samples[:, 0]
    if rate != SAMPLE_RATE_HZ:
        mono = resample_poly(mono, SAMPLE_RATE_HZ // common, rate // common)
    return np.asarray(mono, dtype=np.float32)


def _alone(turns: Sequence[Turn]) -> Iterator[Turn]:
    """Stretches of at least 1 s with exactly one speaker."""
    edges = sorted({edge for turn in turns for edge in (turn.start, turn.end)})
    for start, end in pairwise(edges):
        who = {turn.speaker for turn in turns if turn.start < end and turn.end > start}
        if len(who) == 1 and end - start >= 1 + 2 * _EDGE:
            yield Turn(start + _EDGE, end - _EDGE, who.pop())


def _levels(samples: Waveform) -> Waveform:
    """(frames,) level of every 10 ms in dBFS."""
    frame = round(_STEP * SAMPLE_RATE_HZ)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    power = np.mean(np.square(frames), axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)), dtype=np.float32)


def _loud(samples: Waveform) -> list[Span]:
    """Runs of frames above the recording's silence threshold."""
    levels = _levels(samples)
    loud = levels > np.percentile(levels, 95) - _QUIET_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    return [Span(start * _STEP, end * _STEP) for start, end in edges.reshape(-1, 2).tolist()]


def _speech(samples: Waveform) -> tuple[Span, ...]:
    """Silero's spans, trimmed to where sound begins and ends."""
    detector = SileroDetector(onset=0.5, offset=0.2, min_speech=0.1, min_silence=PAUSE)
    voiced = detector.detect(Samples(samples), 0, lambda _share: None)
    sounding = [
        Span(max(loud.start, span.start), min(loud.end, span.end))
        for loud in _loud(samples)
        for span in voiced
        if loud.start < span.end and loud.end > span.start
    ]
    return tuple(span for span in merge_spans(sounding, PAUSE) if span.duration >= _EDGE)


def _cuts(samples: Waveform, speech: Sequence[Span]) -> Iterator[float]:
    """Seconds at which a piece may begin or end: pauses, and quiet frames of long stretches."""
    loud = merge_spans(_loud(samples), _CUT - _STEP / 2)
    levels = _levels(samples)
    last = speech[0].start
    yield last
    for pause in (Span(one.end, other.start) for one, other in pairwise(loud)):
        if speech[0].start < pause.start and pause.end < speech[-1].end:
            yield from _quiet_frames(levels, last, pause.start)
            yield from _within(pause)
            last = pause.end
    yield from _quiet_frames(levels, last, speech[-1].end)
    yield speech[-1].end


def _within(pause: Span) -> tuple[float, ...]:
    """The middle of a short pause; both ends of a long one, so that pieces need not hold it."""
    if pause.duration <= PAUSE:
        return (round((pause.start + pause.end) / 2 / _STEP) * _STEP,)
    return pause.start + _EDGE, pause.end - _EDGE


def _quiet_frames(levels: Waveform, start: float, end: float) -> Iterator[float]:
    """Cuts of a stretch without a pause, so that no part of it is much longer than `_UNCUT`."""
    while end - start > 1.5 * _UNCUT:
        first, last = round((start + _UNCUT / 2) / _STEP), round((start + _UNCUT) / _STEP)
        start = (first + int(np.argmin(levels[first:last]))) * _STEP
        yield start
