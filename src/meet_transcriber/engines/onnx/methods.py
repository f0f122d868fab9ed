"""From what the networks say to turns: by our own rules, or step by step as pyannote.audio."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from meet_transcriber.core.transcript import Turn
from meet_transcriber.engines.onnx.embeddings import unit
from meet_transcriber.engines.onnx.network import Array
from meet_transcriber.engines.onnx.pooling import SHORT_HOP, Voices
from meet_transcriber.engines.onnx.pyannote_clustering import (
    NOBODY,
    Agglomeration,
    Clusters,
    Mixture,
    Plda,
    agglomerative,
    as_many,
    vbx,
)
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    WINDOW_SECONDS,
    Activity,
    summed,
)
from meet_transcriber.engines.onnx.speakers import Speakers, find_speakers

_LEAST_FRAMES = 4  # of a turn: 68 ms; steps of 0.1 s and frames do not end together


@dataclass(frozen=True)
class Found:
    """
    Who talks when.

    Attributes:
        turns: all turns in order of time; they overlap where people do.
        exclusive: the same with one speaker at a time.
        voices: the place of each label in `Speakers`; labels are in order of first speech.
    """

    turns: tuple[Turn, ...]
    exclusive: tuple[Turn, ...]
    voices: Mapping[str, int]


def find_turns(activity: Activity, speakers: Speakers, duration: float) -> Found:
    """Return the turns of a recording of `duration` seconds."""
    frames = len(activity.count)
    steps = np.rint(activity.frame_times / SHORT_HOP - 0.5).astype(int)
    first = speakers.path[np.clip(steps, 0, len(speakers.path) - 1)]
    talks = np.zeros((frames, len(speakers)), bool)
    spoken = np.flatnonzero(activity.count > 0)
    talks[spoken, first[spoken]] = True
    exclusive = _in_order(_runs(talks, duration))
    second, is_there = _second_speakers(speakers.votes, first)
    overlap = np.flatnonzero((activity.count > 1) & is_there)
    talks[overlap, second[overlap]] = True
    every = _in_order(_runs(talks, duration))
    return labelled(every, exclusive)


def labelled(every: Sequence[Turn], exclusive: Sequence[Turn]) -> Found:
    """Turns whose speakers are numbers of voices, with labels in order of first speech."""
    heard = dict.fromkeys(turn.speaker for turn in (*every, *exclusive))
    labels = {voice: f"SPEAKER_{place:02d}" for place, voice in enumerate(heard)}
    known = {label: int(voice) for voice, label in labels.items()}
    return Found(_named(every, labels), _named(exclusive, labels), known)


def _second_speakers(votes: Array, first: Array) -> tuple[Array, Array]:
    """(frames,) who talks beside the first one, as most windows say; and whether any does."""
    frames = np.arange(len(first))
    others = votes.copy()
    others[frames, first] = 0
    second = others.argmax(axis=1)
    return second, others[frames, second] > 0


def _runs(talks: Array, duration: float) -> Iterator[tuple[float, float, int]]:
    """Start, end and voice of every unbroken run of frames that is more than a step's rounding."""
    first = FIRST_FRAME_SECONDS - FRAME_SECONDS / 2
    for voice in range(talks.shape[1]):
        edges = np.flatnonzero(np.diff(talks[:, voice].astype(np.int8), prepend=0, append=0))
        runs = edges.reshape(-1, 2)
        longest = np.diff(runs, axis=1).max(initial=0)
        for start, end in runs[np.diff(runs, axis=1)[:, 0] >= min(_LEAST_FRAMES, longest)]:
            begin = start * FRAME_SECONDS + first if start else 0.0
            finish = min(end * FRAME_SECONDS + first, duration)
            if finish > begin:
                yield float(begin), float(finish), voice


def _in_order(runs: Iterator[tuple[float, float, int]]) -> list[Turn]:
    return [Turn(start, end, str(voice)) for start, end, voice in sorted(runs)]


def _named(found: Sequence[Turn], labels: Mapping[str, str]) -> tuple[Turn, ...]:
    return tuple(replace(turn, speaker=labels[turn.speaker]) for turn in found)


# -- frames of the recording -----------------------------------------------------------------


def frame_count(last_start: float) -> int:
    """Frames of a recording whose last window begins at `last_start` seconds."""
    return int(np.rint((WINDOW_SECONDS + last_start) / FRAME_SECONDS)) + 1


def reconstruct(active: Array, labels: Array, starts: Array, frames: int) -> Array:
    """Return votes, (frames, clusters) float32: in how many windows a cluster talks."""
    merged = np.zeros((*active.shape[:2], max(int(labels.max(initial=NOBODY)) + 1, 0)), np.uint8)
    for window, speaker in zip(*np.nonzero(labels != NOBODY), strict=True):
        column = merged[window, :, labels[window, speaker]]
        np.maximum(column, active[window, :, speaker], out=column, casting="unsafe")
    return summed(merged, starts, frames)


def discrete(votes: Array, count: Array) -> Array:
    """
    Return (frames, clusters) bool: in each frame the `count` clusters with the most votes.

    There are more columns than clusters where more people talk at once than there are. With a
    `count` of at most one, turns are exclusive.
    """
    missing = max(0, int(count.max(initial=0)) - votes.shape[1])
    votes = np.pad(votes, ((0, 0), (0, missing)))
    places = np.argsort(-votes, axis=1, kind="stable")
    found = np.zeros(votes.shape, bool)
    np.put_along_axis(found, places, np.arange(votes.shape[1]) < count[:, None], axis=1)
    return found


def stretches(talking: Array) -> Iterator[tuple[float, float, int]]:
    """Yield start, end and column of each stretch; from middles of frames to middles of frames."""
    last = len(talking) - 1
    for column, spoken in enumerate(talking.T):
        edges = np.flatnonzero(np.diff(np.r_[False, spoken, False].astype(np.int8)))
        for first, end in edges.reshape(-1, 2):
            if (stop := min(int(end), last)) > first:
                yield _middle(int(first)), _middle(stop), column


def _middle(frame: int) -> float:
    return frame * FRAME_SECONDS + FIRST_FRAME_SECONDS


# An hour with windows every second has about as many; then linkage takes some 300 MB.
_MOST_TRAINED = 4000
_AGGLOMERATION = Agglomeration(most_trained=_MOST_TRAINED)
_MIXTURE = Mixture(most_trained=_MOST_TRAINED)


@dataclass(frozen=True)
class Outcome:
    """
    Who talks when.

    Attributes:
        turns: all turns in order of time; they overlap where people do.
        exclusive: the same with one speaker at a time.
        vectors: what each label sounds like, of length 1; labels are in order of first speech.
    """

    turns: tuple[Turn, ...] = ()
    exclusive: tuple[Turn, ...] = ()
    vectors: Mapping[str, Array] = field(default_factory=dict)


class Method(Protocol):
    """How speakers are found in what the networks say."""

    @property
    def step(self) -> float:
        """Seconds from one window of segmentation to the next."""
        ...

    @property
    def gain(self) -> float:
        """That samples are multiplied by for segmentation."""
        ...

    def find(
        self, activity: Activity, voices: Voices, bounds: tuple[int, int], duration: float
    ) -> Outcome:
        """
        Return the turns of a recording of `duration` seconds.

        Args:
            bounds: the fewest and the most speakers, both included.
        """
        ...


@dataclass(frozen=True)
class Resegmented:
    """Our own method, whose numbers were measured with CAM++; see `speakers` and `turns`."""

    step: float = 2.0
    """Each moment is seen five times."""
    gain: float = 0.1
    """
    Working audio is amplified to -24 dBFS; segmentation, which depends on the level, was trained on
    meetings that are some 20 dB lower, and takes noise for speech in louder ones.
    """

    def find(
        self, activity: Activity, voices: Voices, bounds: tuple[int, int], duration: float
    ) -> Outcome:
        """See `Method`."""
        speakers = find_speakers(activity, voices, *bounds)
        if speakers is None:
            return Outcome()
        found = find_turns(activity, speakers, duration)
        vectors = {label: speakers.vectors[voice] for label, voice in found.voices.items()}
        return Outcome(found.turns, found.exclusive, vectors)


@dataclass(frozen=True)
class Stepwise:
    """
    The published method of pyannote's pipelines, with their numbers.

    With a PLDA it is that of speaker-diarization-community-1, else that of
    speaker-diarization-3.1. Each step gives what pyannote.audio's gives from the same scores and
    embeddings. What comes in differs slightly: embeddings are pooled from one pass in chunks of
    4 s, each less its own mean, where pyannote.audio takes every window of 10 s by itself.

    Bounds that no cut of the tree into large clusters meets, which 3.1 misses, are met with
    k-means as in community-1. Even so a voice that was asked for may win no frame of another.

    Attributes:
        plda: of community-1.
        agglomeration, mixture: the clustering without a PLDA and with one.
        step: as in both pipelines.
        gain: none, as in both pipelines.
    """

    plda: Plda | None = None
    agglomeration: Agglomeration = _AGGLOMERATION
    mixture: Mixture = _MIXTURE
    step: float = 1.0
    gain: float = 1.0

    def find(
        self, activity: Activity, voices: Voices, bounds: tuple[int, int], duration: float
    ) -> Outcome:
        """See `Method`."""
        count = np.minimum(activity.count, bounds[1])
        if not count.any():
            return Outcome()
        found = self._clusters(activity, voices, bounds)
        votes = reconstruct(activity.active, found.labels, activity.starts, len(count))
        every = _turns(discrete(votes, count), duration)
        exclusive = _turns(discrete(votes, np.minimum(count, 1)), duration)
        named = labelled(every, exclusive)
        vectors = unit(found.centroids)
        known = {
            label: vectors[column]
            for label, column in named.voices.items()
            # nobody is heard alone, or more talk at once than there are clusters
            if column < len(vectors) and np.isfinite(vectors[column]).all()
        }
        return Outcome(named.turns, named.exclusive, known)

    def _clusters(self, activity: Activity, voices: Voices, bounds: tuple[int, int]) -> Clusters:
        local, active = voices.local, activity.active
        if self.plda is not None:
            return vbx(local, active, self.plda, self.mixture, *bounds)
        found = agglomerative(local, active, self.agglomeration, *bounds)
        if bounds[0] <= len(found.centroids) <= bounds[1]:
            return found
        wanted = int(np.clip(len(found.centroids), *bounds))
        return as_many(local, active, wanted, self.agglomeration.most_trained)


def _turns(talking: Array, duration: float) -> list[Turn]:
    """Turns in order of time; a speaker is the number of a column."""
    return [Turn(*each) for each in sorted(_within(talking, duration))]


def _within(talking: Array, duration: float) -> Iterator[tuple[float, float, str]]:
    for start, end, column in stretches(talking):
        if start < duration:
            yield start, min(end, duration), str(column)
