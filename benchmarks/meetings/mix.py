"""Renders a list of utterances to audio with a reference."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, fftconvolve, sosfilt

from benchmarks.meetings.reel import Reel, Sound
from benchmarks.meetings.talk import SHORT_BACKCHANNELS
from benchmarks.meetings.voices import Voice, synthesize
from meet_transcriber.core.segmentation import build_segments
from meet_transcriber.core.transcript import Segment, Span, Transcript, Turn, Word
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

_PAUSE = 0.3  # silence this long ends a reference turn
_FRAME = 160
_LONG_LINE = 2.5  # seconds; shorter lines get no agreement


@dataclass(frozen=True)
class Utterance:
    """One sentence of one person, with its audio on disk."""

    voice: Voice
    text: str
    start: float
    words: tuple[Span, ...]
    sound: Sound
    gain_db: float = 0.0

    @property
    def end(self) -> float:
        return self.start + self.sound.count / SAMPLE_RATE_HZ

    @property
    def samples(self) -> Waveform:
        return np.asarray(self.sound.load() * 10 ** (self.gain_db / 20), dtype=np.float32)


@dataclass(frozen=True)
class Scene:
    """Acoustics of a meeting.

    Attributes:
        reverb_seconds: time in which the room's echo falls by 60 dB; 0 for none.
        noise_dbfs: level of the noise floor.
        call: voices that take part by telephone, 300 to 3400 Hz.
        level_db: how much louder each voice is.
    """

    reverb_seconds: float = 0.0
    noise_dbfs: float = -60.0
    call: frozenset[str] = frozenset()
    level_db: dict[str, float] = field(default_factory=dict)


def place(
    lines: Sequence[tuple[Voice, str]],
    chance: random.Random,
    overlap: float,
    backchannels: float = 0.0,
) -> list[Utterance]:
    """
    Place lines one after another with pauses; some changes of speaker overlap.

    Args:
        overlap: probability that a change of speaker overlaps by some tenths of a second.
        backchannels: probability of a listener's agreement during a longer line.

    Returns:
        utterances sorted by start.
    """
    reel = Reel()
    people = list(dict.fromkeys(voice for voice, _ in lines))
    placed: list[Utterance] = []
    at, last = 0.6, None
    for voice, text in lines:
        changes = last not in (None, voice)
        gap = chance.uniform(0.25, 0.9) if changes else chance.uniform(0.15, 0.5)
        if changes and chance.random() < overlap:
            gap = -chance.uniform(0.15, 0.6)
        said = _uttered(reel, voice, text, max(at + gap, 0.0))
        placed.append(said)
        at, last = said.end, voice
        listeners = [person for person in people if person != voice]
        if backchannels and listeners and said.end - said.start > _LONG_LINE:
            placed.extend(_agreement(reel, chance, said, listeners, backchannels))
    return sorted(placed, key=lambda utterance: utterance.start)


def _uttered(reel: Reel, voice: Voice, text: str, start: float, gain_db: float = 0.0) -> Utterance:
    speech = synthesize(voice, text)
    return Utterance(voice, text, start, speech.words, reel.keep(speech.samples), gain_db)


def _agreement(
    reel: Reel,
    chance: random.Random,
    during: Utterance,
    listeners: Sequence[Voice],
    probability: float,
) -> Iterator[Utterance]:
    """Return a listener's short word inside a line, or none."""
    if chance.random() < probability:
        start = chance.uniform(during.start + 0.8, during.end - 1.5)
        text = chance.choice(SHORT_BACKCHANNELS)
        yield _uttered(reel, chance.choice(listeners), text, start, gain_db=-4.0)


def reference(utterances: Sequence[Utterance]) -> Transcript:
    """Return the reference transcript; labels are in order of first speech."""
    order = list(dict.fromkeys(utterance.voice.name for utterance in utterances))
    labels = {name: f"SPEAKER_{place:02d}" for place, name in enumerate(order)}
    turns: list[Turn] = []
    segments: list[Segment] = []
    for utterance in utterances:
        label = labels[utterance.voice.name]
        turns.extend(Turn(span.start, span.end, label) for span in _sounding(utterance))
        segments.extend(build_segments(_words(utterance, label), "en"))
    return Transcript(
        segments=tuple(sorted(segments, key=lambda segment: segment.start)),
        language="en",
        duration=max(utterance.end for utterance in utterances) + 0.8,
        speakers=tuple(labels.values()),
        names={label: name for name, label in labels.items()},
        turns=tuple(sorted(turns, key=lambda turn: turn.start)),
        engine="reference",
    )


def _sounding(utterance: Utterance) -> list[Span]:
    """Return stretches of the utterance without a long pause."""
    samples = utterance.sound.load()
    count = len(samples) // _FRAME
    frames = samples[: count * _FRAME].reshape(count, _FRAME)
    loud = np.flatnonzero(np.sqrt(np.mean(np.square(frames), axis=1)) > 0.004)
    spans: list[Span] = []
    for frame in loud:
        start = utterance.start + frame * _FRAME / SAMPLE_RATE_HZ
        if spans and start - spans[-1].end <= _PAUSE:
            spans[-1] = Span(spans[-1].start, start + 0.01)
        else:
            spans.append(Span(start, start + 0.01))
    return spans


def _words(utterance: Utterance, speaker: str) -> list[Word]:
    """Words with the synthesizer's times, to the millisecond."""
    return [
        Word(
            text,
            round(utterance.start + span.start, 3),
            round(utterance.start + span.end, 3),
            speaker=speaker,
        )
        for text, span in zip(utterance.text.split(), utterance.words, strict=True)
    ]


def render(utterances: Sequence[Utterance], scene: Scene, seed: int) -> Iterator[Waveform]:
    """Yield the mix of utterances sorted by start; memory is bounded."""
    generator = np.random.default_rng(seed)
    echoes = {
        name: _room(scene.reverb_seconds, generator)
        for name in dict.fromkeys(utterance.voice.name for utterance in utterances)
    }
    pending = np.zeros(0, dtype=np.float32)
    flushed = 0
    for utterance in utterances:
        offset = round(utterance.start * SAMPLE_RATE_HZ)
        ready = min(offset - flushed, len(pending))
        if ready > 0:
            yield _noisy(pending[:ready], scene, generator)
            pending, flushed = pending[ready:], flushed + ready
        sound = _coloured(utterance, scene, echoes[utterance.voice.name])
        length = offset - flushed + len(sound)
        pending = np.pad(pending, (0, max(length - len(pending), 0)))
        pending[offset - flushed : length] += sound
    yield _noisy(np.pad(pending, (0, round(0.8 * SAMPLE_RATE_HZ))), scene, generator)


def _coloured(utterance: Utterance, scene: Scene, room: Waveform) -> Waveform:
    name = utterance.voice.name
    sound: npt.NDArray[np.floating] = utterance.samples * 10 ** (scene.level_db.get(name, 0.0) / 20)
    if name in scene.call:
        band = butter(4, (300, 3400), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
        sound = sosfilt(band, sound)
    if len(room) > 1:
        sound = fftconvolve(sound, room)
    return np.asarray(sound, dtype=np.float32)


def _room(reverb_seconds: float, generator: np.random.Generator) -> Waveform:
    """An impulse response: the direct sound and an exponential tail 8 dB below it."""
    if reverb_seconds <= 0:
        return np.ones(1, dtype=np.float32)
    time = np.arange(round(reverb_seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = generator.standard_normal(len(time)) * 10 ** (-3 * time / reverb_seconds)
    tail[: round(0.004 * SAMPLE_RATE_HZ)] = 0
    tail *= 10 ** (-8 / 20) / np.sqrt(np.sum(np.square(tail)))
    tail[0] = 1.0
    return np.asarray(tail, dtype=np.float32)


def _noisy(block: Waveform, scene: Scene, generator: np.random.Generator) -> Waveform:
    noise = generator.standard_normal(len(block)) * 10 ** (scene.noise_dbfs / 20)
    return np.asarray(np.clip(block + noise, -1.0, 1.0), dtype=np.float32)
