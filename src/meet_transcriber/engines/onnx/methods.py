"""From what the networks say to turns: by our own rules, or step by step as pyannote.audio."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.transcript import Turn
from meet_transcriber.engines.onnx.inference import Activity, Voices
from meet_transcriber.engines.onnx.networks import unit
from meet_transcriber.engines.onnx.speakers import find_speakers
from meet_transcriber.engines.onnx.stepwise import (
    Agglomeration,
    Clusters,
    agglomerative,
    as_many,
    discrete,
    reconstruct,
    stretches,
)
from meet_transcriber.engines.onnx.turns import find_turns, labelled
from meet_transcriber.engines.onnx.vbx import Mixture, Plda, vbx

Array = npt.NDArray[Any]

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
