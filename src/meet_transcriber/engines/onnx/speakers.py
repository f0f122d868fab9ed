"""
How many people talk, and who talks at each moment.

Clusters of local speakers give a first guess. Then what is heard of each moment decides: every
step of 0.1 s goes to the voice it is most like, voices are computed again from their own steps,
those with hardly any speech go, voices that are one are joined, and a voice that is two is split.
Speech that segmentation took for one local speaker is told apart on the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.enough import enough_voices
from meet_transcriber.engines.onnx.linkage import centroid_linkage, cut
from meet_transcriber.engines.onnx.listening import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    SHORT_HOP,
    SHORT_SECONDS,
    Activity,
    Voices,
)
from meet_transcriber.engines.onnx.networks import unit

Array = npt.NDArray[Any]

_MIN_ALONE_SECONDS = 1.0  # of a local speaker that clusters are made of
_THRESHOLD = 0.7  # between centroids of clusters, as a distance
_MIN_MEMBERS = (3, 0.1)  # of a cluster: so many, or this share where there are few
_BLOCK = 600  # local speakers clustered at a time: 10 to 20 minutes

_SURE_SECONDS = 0.9  # of one person in a short embedding that voices are computed from
_MIN_SHARE = 0.03  # of all speech that a voice needs,
_MIN_SECONDS = (1.0, 8.0)  # within these bounds
_SAME = 0.85  # cosine between two voices that are one, with endless speech of each
_NOISE_SECONDS = 2.0  # speech that tells as much of a voice as it hides
_TWO = 7.0  # distance of two halves of a voice, in deviations, from which they are two
_MOST_ALIKE = 0.9  # cosine between such halves
_HALF_SECONDS = 5.0  # of speech that each half needs
_EDGE_STEPS = 7  # next to a change of speaker, where a short embedding hears both

_SCALE = 3.0  # what a step says for a voice, by its cosine
_CHANGE = 4.0  # what a change of speaker costs while somebody talks,
_CHANGE_IN_SILENCE = 1.0  # and while nobody does


@dataclass(frozen=True)
class Speakers:
    """
    Who talks at each step.

    Attributes:
        path: (steps,) the voice of each step of 0.1 s, from 0, in silence too.
        vectors: (voices, d) what each sounds like, of length 1.
        seconds: (voices,) of speech of each.
    """

    path: Array
    vectors: Array
    seconds: Array

    def __len__(self) -> int:
        return len(self.vectors)


def find_speakers(activity: Activity, voices: Voices, fewest: int, most: int) -> Speakers | None:
    """
    Return who talks; None where nobody does.

    Args:
        fewest, most: how many there may be, both included.
    """
    steps = _Steps(activity, voices)
    if not steps.speech.any():
        return None
    found = steps.settle(_first_guess(voices, fewest), rounds=2)
    found = _joined(steps, _pruned(steps, found, fewest, most), fewest, most)
    found = _pruned(steps, _split(steps, found, fewest, most), fewest, most)
    return steps.at_least(fewest, steps.decide(found.vectors))


def _first_guess(voices: Voices, fewest: int) -> Array:
    """Centroids of clusters of local speakers; one where nobody ever talks alone."""
    alone = voices.alone.ravel()
    vectors = voices.local.reshape(len(alone), -1)
    usable = alone >= min(_MIN_ALONE_SECONDS, alone.max(initial=0.0))
    usable &= alone > 0
    if not usable.any():
        everybody: Array = vectors.mean(axis=0, keepdims=True)
        return everybody
    vectors = vectors[usable]
    labels = _clustered(vectors)
    sizes = np.bincount(labels)
    least = max(1, min(_MIN_MEMBERS[0], round(_MIN_MEMBERS[1] * len(vectors))))
    kept = np.flatnonzero(sizes >= least)
    if len(kept) < fewest:
        kept = np.sort(np.argsort(-sizes, kind="stable")[: max(fewest, 1)])
    return np.stack([vectors[labels == label].mean(axis=0) for label in kept])


def _clustered(vectors: Array) -> Array:
    """A cluster per vector; long recordings in blocks, whose clusters are clustered again."""
    if len(vectors) <= _BLOCK:
        return cut(centroid_linkage(vectors), _THRESHOLD)
    blocks = np.array_split(np.arange(len(vectors)), -(-len(vectors) // _BLOCK))
    labels = np.zeros(len(vectors), int)
    centres: list[Array] = []
    for block in blocks:
        local = cut(centroid_linkage(vectors[block]), _THRESHOLD)
        labels[block] = local + len(centres)
        centres += [vectors[block][local == label].mean(axis=0) for label in range(local.max() + 1)]
    whole: Array = _clustered(np.stack(centres))[labels]
    return whole


class _Steps:
    """The steps of a recording, and what is heard in them."""

    def __init__(self, activity: Activity, voices: Voices) -> None:
        self.vectors, heard = voices.short, voices.heard
        times = (np.arange(len(heard)) + 0.5) * SHORT_HOP
        places = np.rint((times - FIRST_FRAME_SECONDS) / FRAME_SECONDS).astype(int)
        self.speech = activity.count[np.clip(places, 0, len(activity.count) - 1)] > 0
        self.sure = self.speech & (heard >= _SURE_SECONDS)
        if not self.sure.any():
            self.sure = self.speech
        self._weights = (np.minimum(heard / SHORT_SECONDS, 1) * self.speech).astype(np.float32)

    def similarities(self, centres: Array) -> Array:
        """(steps, voices) cosines, less where little is heard."""
        found: Array = (self.vectors @ unit(centres).T.astype(np.float32)) * self._weights[:, None]
        return found

    def settle(self, centres: Array, rounds: int = 1) -> Speakers:
        """Give every step to a voice, and compute the voices from their steps again."""
        path = np.zeros(len(self.speech), int)
        for _ in range(rounds):
            path = best_path(_SCALE * self.similarities(centres), self._costs())
            centres = np.stack(
                [self._centre(path == voice, centre) for voice, centre in enumerate(centres)]
            )
        return self._speakers(path, centres)

    def decide(self, centres: Array) -> Speakers:
        """The last word: the path through voices that stay as they are."""
        return self._speakers(
            best_path(_SCALE * self.similarities(centres), self._costs()), centres
        )

    def at_least(self, fewest: int, found: Speakers) -> Speakers:
        """As many voices that talk as were asked for, wherever there is speech enough."""
        return self._speakers(
            *enough_voices(found.path, found.vectors, self.speech, self.vectors, fewest)
        )

    def _centre(self, own: Array, before: Array) -> Array:
        own = own & self.sure
        found: Array = self.vectors[own].mean(axis=0) if own.any() else before
        return found

    def _costs(self) -> Array:
        return np.where(self.speech, _CHANGE, _CHANGE_IN_SILENCE)

    def _speakers(self, path: Array, centres: Array) -> Speakers:
        seconds = np.bincount(path[self.speech], minlength=len(centres)) * SHORT_HOP
        return Speakers(path, unit(centres), seconds)


def best_path(gains: Array, costs: Array) -> Array:
    """
    Return the voices (steps,) that gain most, less what changes between them cost.

    Args:
        gains: (steps, voices).
        costs: (steps,) of a change before each step.
    """
    count, voices = gains.shape
    came_from = np.zeros((count, voices), np.int16)
    stay = np.arange(voices)
    total = gains[0].astype(np.float64)
    for step in range(1, count):
        best = int(total.argmax())
        change = total[best] - costs[step]
        switch = change > total
        came_from[step] = np.where(switch, best, stay)
        total = np.where(switch, change, total) + gains[step]
    path = np.zeros(count, int)
    path[-1] = total.argmax()
    for step in range(count - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def _pruned(steps: _Steps, found: Speakers, fewest: int, most: int) -> Speakers:
    """Without voices that hardly talk; their speech goes to the others."""
    while len(found) > max(fewest, 1):
        least = int(found.seconds.argmin())
        needed = np.clip(_MIN_SHARE * found.seconds.sum(), *_MIN_SECONDS)
        if found.seconds[least] >= needed:
            break
        found = steps.settle(np.delete(found.vectors, least, axis=0))
    return found


def _joined(steps: _Steps, found: Speakers, fewest: int, most: int) -> Speakers:
    """With voices joined that are one, or too many."""
    while len(found) > max(fewest, 1):
        certainty = np.sqrt(1 + _NOISE_SECONDS / np.maximum(found.seconds, SHORT_HOP))
        alike = (found.vectors @ found.vectors.T) * np.outer(certainty, certainty)
        np.fill_diagonal(alike, -np.inf)
        one, other = np.unravel_index(alike.argmax(), alike.shape)
        if alike[one, other] < _SAME and len(found) <= most:
            break
        centres = found.vectors.copy()
        centres[one] = found.seconds[[one, other]] @ centres[[one, other]]
        found = steps.settle(np.delete(centres, other, axis=0))
    return found


def _split(steps: _Steps, found: Speakers, fewest: int, most: int) -> Speakers:
    """With a voice made two where its speech falls into two heaps, or where two are wanted."""
    while len(found) < most:
        halves = list(_halves(steps, found))
        two = [each for each in halves if each.are_two]
        if not two and len(found) >= fewest:
            break
        if not (two or halves):
            break
        best = max(two or halves, key=lambda each: each.distance)
        centres = np.delete(found.vectors, best.voice, axis=0)
        found = steps.settle(np.concatenate([centres, best.centres]), rounds=2)
    return found


@dataclass(frozen=True)
class _Halves:
    """A voice in two parts: their centroids, and how far apart they are, in deviations."""

    voice: int
    centres: Array
    distance: float
    are_two: bool


def _halves(steps: _Steps, found: Speakers) -> Iterator[_Halves]:
    """Every voice with enough speech, in two halves."""
    changes = np.flatnonzero(np.diff(found.path)) + 1
    inside = np.ones(len(found.path), bool)
    for offset in range(-_EDGE_STEPS, _EDGE_STEPS):
        inside[np.clip(changes + offset, 0, len(inside) - 1)] = False
    for voice in range(len(found)):
        own = steps.vectors[inside & steps.sure & (found.path == voice)]
        if len(own) >= 4:
            yield _in_two(voice, own)


def _in_two(voice: int, vectors: Array) -> _Halves:
    """Two means, from the direction in which the vectors differ most."""
    centred = vectors - vectors.mean(axis=0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    second = centred @ direction > 0
    for _ in range(20):
        if second.all() or not second.any():
            break
        centres = np.stack([vectors[~second].mean(axis=0), vectors[second].mean(axis=0)])
        line = centres[1] - centres[0]
        moved = (vectors - centres.mean(axis=0)) @ line > 0
        if (moved == second).all():
            break
        second = moved
    if second.all() or not second.any():
        second = np.arange(len(vectors)) % 2 == 1
        centres = np.stack([vectors[~second].mean(axis=0), vectors[second].mean(axis=0)])
    return _judged(voice, vectors, second, centres)


def _judged(voice: int, vectors: Array, second: Array, centres: Array) -> _Halves:
    line = centres[1] - centres[0]
    along = vectors @ line / max(np.linalg.norm(line), 1e-9)
    spread = np.sqrt((along[second].var() + along[~second].var()) / 2)
    distance = float(np.linalg.norm(line) / max(spread, 1e-6))
    alike = float(np.prod(unit(centres), axis=0).sum())
    shorter = min(second.sum(), (~second).sum()) * SHORT_HOP
    are_two = distance >= _TWO and alike <= _MOST_ALIKE and shorter >= _HALF_SECONDS
    return _Halves(voice, centres, distance, bool(are_two))
