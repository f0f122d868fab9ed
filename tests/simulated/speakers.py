"""Recordings whose samples say who talks, and networks that read it."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.transcript import Span, Turn
from meet_transcriber.engines.onnx.diarizer import Resegmentation
from meet_transcriber.engines.onnx.embeddings import CHUNK_SECONDS, TRUNK_HZ, l2_normalize
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FIRST_FRAME_SAMPLES,
    FRAME_SAMPLES,
    FRAMES,
    POWERSET,
    Segmentation,
)
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

Array = npt.NDArray[Any]

_SCALE = 4096.0
_LOCAL_SPEAKERS = POWERSET.shape[1]
_BITS = 1 << np.arange(_LOCAL_SPEAKERS)
_CLASS_OF = np.zeros(1 << _LOCAL_SPEAKERS, np.uint8)
_CLASS_OF[(POWERSET @ _BITS).astype(int)] = np.arange(len(POWERSET))


@dataclass(frozen=True)
class Marked:
    """
    An AudioSource whose samples are sums of powers of two, one for each person who talks.

    Attributes:
        turns: speakers are "0" to "11".
        repeated: the turns begin again every so many seconds; 0 for never.
    """

    duration: float
    turns: Sequence[Turn]
    repeated: float = 0.0
    channels: int = 1

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        first, last = (
            round(min(max(each, 0.0), self.duration) * SAMPLE_RATE_HZ) for each in (start, end)
        )
        samples = np.zeros(max(last - first, 0), np.float32)
        for shift in self._shifts(start, end):
            for turn in self.turns:
                begin = round((turn.start + shift) * SAMPLE_RATE_HZ) - first
                finish = round((turn.end + shift) * SAMPLE_RATE_HZ) - first
                samples[max(begin, 0) : max(finish, 0)] += 2 ** int(turn.speaker) / _SCALE
        return samples

    @property
    def speech(self) -> list[Span]:
        """Where anybody talks, in order and apart from each other."""
        spans: list[Span] = []
        for shift in self._shifts(0.0, self.duration):
            for turn in sorted(self.turns, key=lambda each: each.start):
                start, end = turn.start + shift, min(turn.end + shift, self.duration)
                if spans and start <= spans[-1].end:
                    spans[-1] = Span(spans[-1].start, max(end, spans[-1].end))
                elif start < end:
                    spans.append(Span(start, end))
        return spans

    def _shifts(self, start: float, end: float) -> list[float]:
        if not self.repeated:
            return [0.0]
        places = range(int(start // self.repeated), int(end // self.repeated) + 1)
        return [place * self.repeated for place in places]


def marks(samples: Array) -> Array:
    """(n, 12) bool: who talks at each sample."""
    codes = np.rint(samples * _SCALE).astype(int)
    talks: Array = (codes[..., None] >> np.arange(12)) & 1 == 1
    return talks


class MarkedSegmentation(Segmentation):
    """Finds the first three people of a window, in order of their first words, two at a time."""

    def __init__(self, gain: float = Resegmentation.gain) -> None:
        """No checkpoint is read; `gain` is what samples were multiplied by."""
        self._gain = gain

    def classes(self, windows: Array) -> Array:
        """Samples (n, 160000) to classes (n, 589)."""
        return np.stack([self._window(window / self._gain) for window in windows])

    def _window(self, window: Array) -> Array:
        middles = FIRST_FRAME_SAMPLES // 2 + FRAME_SAMPLES * np.arange(FRAMES)
        talks = marks(window[middles])
        heard = np.flatnonzero(talks.any(axis=0))
        order = heard[talks[:, heard].argmax(axis=0).argsort(kind="stable")]
        local = np.zeros((FRAMES, _LOCAL_SPEAKERS), bool)
        for place, person in enumerate(order):
            local[:, min(place, _LOCAL_SPEAKERS - 1)] |= talks[:, person]
        local[local.all(axis=1), -1] = False
        found: Array = _CLASS_OF[local @ _BITS]
        return found


class MarkedEmbedder:
    """
    An Embedder that knows a direction for each person, and mixes them where several talk.

    Args:
        noise: length of what is added to each frame, in lengths of a voice.
        features: of which the first `size` are used.
    """

    name = "marked"

    def __init__(self, seed: int, noise: float = 1.0, size: int = 64, features: int = 64) -> None:
        self.features, self._noise, self._size = features, noise / np.sqrt(size), size
        chance = np.random.default_rng(seed)
        self.voices = l2_normalize(chance.standard_normal((12, size))).astype(np.float32)

    def trunk(self, audio: Array) -> Array:
        """The sum of the voices of each frame, and noise that hangs on what is heard."""
        chunk = CHUNK_SECONDS * SAMPLE_RATE_HZ
        padded = np.zeros(-(-len(audio) // chunk) * chunk, np.float32)
        padded[: len(audio)] = audio
        hop = SAMPLE_RATE_HZ // TRUNK_HZ
        talks = marks(padded[hop // 2 :: hop]).astype(np.float32)
        chance = np.random.default_rng(zlib.crc32(padded.tobytes()))
        found = np.zeros((len(talks), self.features), np.float32)
        found[:, : self._size] = talks @ self.voices
        found[:, : self._size] += self._noise * chance.standard_normal(
            (len(talks), self._size), np.float32
        )
        return found

    def head(self, means: Array, deviations: Array) -> Array:
        """The direction of the mean."""
        return l2_normalize(means[:, : self._size])


def meeting(seed: int, people: int, seconds: float) -> Marked:
    """Everybody talks once, then by chance; with pauses, and with overlap between turns."""
    chance = random.Random(seed)
    longest = min(10.0, 0.8 * seconds / people)
    order = chance.sample(range(people), people)
    turns: list[Turn] = []
    at = chance.uniform(0, 0.1 * longest)
    while at < seconds - 1.0:
        place = len(turns)
        person = order[place] if place < people else chance.choice(order)
        end = min(at + chance.uniform(0.4, 1.0) * longest, seconds)
        turns.append(Turn(at, end, str(person)))
        at = end + chance.uniform(-0.1, 0.1) * longest
    return Marked(seconds, turns)
