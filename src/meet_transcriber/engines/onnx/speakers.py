"""
How many people talk, and who talks at each moment.

Clusters of local speakers give a first guess. Then what is heard of each moment decides: every
step of 0.1 s goes to the voice it is most like, voices are computed again from their own steps,
those with hardly any speech go, voices that are one are joined, and a voice that is two is split.
Speech that segmentation took for one local speaker is told apart on the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from meet_transcriber.core.options import MAX_SPEAKERS
from meet_transcriber.core.scoring import assign
from meet_transcriber.engines.onnx.clustering import centroid_linkage, cut, halves, pairs
from meet_transcriber.engines.onnx.embeddings import unit
from meet_transcriber.engines.onnx.network import Array
from meet_transcriber.engines.onnx.pooling import SHORT_HOP, SHORT_SECONDS, Voices
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    Activity,
    first_frame,
)

_MIN_ALONE_SECONDS = 1.0  # of a local speaker that clusters are made of
_THRESHOLD = 0.68  # between centroids of clusters, as a distance
_MIN_MEMBERS = (5, 0.1)  # of a cluster: so many, or this share where there are few
_BLOCK = 600  # local speakers clustered at a time: 10 to 20 minutes

_SURE_SECONDS = 0.9  # of one person in a short embedding that voices are computed from
_MIN_SHARE = 0.03  # of all speech that a voice needs,
_MIN_SECONDS = (1.0, 12.0)  # within these bounds
_HARDLY = 0.3  # of what is needed, below which nothing that is joined to a voice saves it
_MIN_INSIDE_SHARE = 0.003  # of the speech away from changes; in hours, mixtures exceed 12 s
_MOST_STEPS = 3000  # of a voice that are looked at: five minutes
_EDGE_STEPS = 7  # next to a change of speaker, where a short embedding hears both
_LEAST_SPLIT_SECONDS = 2.0  # of speech for each voice that is asked for

_SCALE = 3.0  # what a step says for a voice, by its cosine
_VOTES = 1.0  # what all windows of segmentation say for it where nobody is heard alone
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
        votes: (frames, voices) how many windows of segmentation say that each voice talks.
    """

    path: Array
    vectors: Array
    seconds: Array
    votes: Array

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
    found = _joined(steps, _pruned(steps, steps.settle(_first_guess(voices), rounds=2)))
    found = _joined(steps, _pruned(steps, _split(steps, found)))
    # a voice of less than two seconds is made in the end, by `at_least`
    enough = min(fewest, int(steps.speech.sum() * SHORT_HOP / _LEAST_SPLIT_SECONDS))
    found = _split(steps, _joined(steps, found, most=most), fewest=enough)
    return steps.at_least(fewest, steps.decide(found.vectors))


def _first_guess(voices: Voices) -> Array:
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
    if not len(kept):
        kept = np.array([sizes.argmax()])
    kept = np.sort(kept[np.argsort(-sizes[kept], kind="stable")][:MAX_SPEAKERS])
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
    joined = np.stack(centres)
    if len(joined) > len(vectors) / 2:  # hardly anything is alike
        return labels
    whole: Array = _clustered(joined)[labels]
    return whole


def count_votes(activity: Activity, voices: Voices, vectors: Array) -> Array:
    """(frames, voices) how many windows say that each voice talks, as uint8."""
    votes = np.zeros((len(activity.count), len(vectors)), np.uint8)
    for active, local, start in zip(activity.active, voices.local, activity.starts, strict=True):
        place = first_frame(float(start))
        seen = votes[place : place + len(active)]
        for speaker, voice in _assigned(local, active, vectors):
            seen[:, voice] += active[: len(seen), speaker]
    return votes


def _assigned(local: Array, active: Array, vectors: Array) -> Iterator[tuple[int, int]]:
    """Each local speaker who talks, with a voice of its own, the likeliest in all."""
    talking = np.flatnonzero(active.any(axis=0))
    if not len(talking):
        return
    costs = -(local[talking] @ vectors.T)
    padding = np.full((len(talking), max(len(talking) - len(vectors), 0)), 2.0)
    matched = assign(np.concatenate([costs, padding], axis=1).tolist())
    for speaker, voice in zip(talking, matched, strict=True):
        if voice < len(vectors):
            yield int(speaker), voice


class _Steps:
    """The steps of a recording, and what is heard in them."""

    def __init__(self, activity: Activity, voices: Voices) -> None:
        self._activity, self._voices = activity, voices
        self.vectors, heard = voices.short, voices.heard
        times = (np.arange(len(heard)) + 0.5) * SHORT_HOP
        places = np.rint((times - FIRST_FRAME_SECONDS) / FRAME_SECONDS).astype(int)
        self._frames = np.clip(places, 0, len(activity.count) - 1)
        self.speech = activity.count[self._frames] > 0
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
        """The final path through the given voices; segmentation decides where none is alone."""
        votes = count_votes(self._activity, self._voices, unit(centres))
        share = votes[self._frames] / np.maximum(votes[self._frames].sum(axis=1, keepdims=True), 1)
        unheard = 1 - self._weights[:, None]  # in overlap and short speech
        gains = _SCALE * self.similarities(centres) + _VOTES * share * unheard
        found = self._speakers(best_path(gains, self._costs()), centres)
        return replace(found, votes=votes)

    def at_least(self, fewest: int, found: Speakers) -> Speakers:
        """As many voices that talk as were asked for, wherever there is speech enough."""
        path, centres = enough_voices(found.path, found.vectors, self.speech, self.vectors, fewest)
        if np.array_equal(path, found.path):
            return found
        votes = count_votes(self._activity, self._voices, unit(centres))
        return replace(self._speakers(path, centres), votes=votes)

    def _centre(self, own: Array, before: Array) -> Array:
        own = own & self.sure
        if not own.any():
            return before
        mean: Array = own.astype(np.float32) @ self.vectors / own.sum()  # without copying them
        return mean

    def own_vectors(self, found: Speakers) -> list[Array]:
        """
        What is heard of each voice away from changes, where short embeddings hear two.

        Of long recordings a part is enough, evenly chosen.
        """
        inside = self._inside(found)
        places = [np.flatnonzero(inside & (found.path == voice)) for voice in range(len(found))]
        return [self.vectors[own[:: 1 + len(own) // _MOST_STEPS]] for own in places]

    def shares_inside(self, found: Speakers) -> Array:
        """(voices,) of the speech that is heard away from changes."""
        steps = np.bincount(found.path[self._inside(found)], minlength=len(found))
        shares: Array = steps / max(steps.sum(), 1)
        return shares

    def _inside(self, found: Speakers) -> Array:
        """(steps,) where one voice is heard and no other is near."""
        changes = np.flatnonzero(np.diff(found.path)) + 1
        inside: Array = self.sure.copy()
        for offset in range(-_EDGE_STEPS, _EDGE_STEPS):
            inside[np.clip(changes + offset, 0, len(inside) - 1)] = False
        return inside

    def _costs(self) -> Array:
        return np.where(self.speech, _CHANGE, _CHANGE_IN_SILENCE)

    def _speakers(self, path: Array, centres: Array) -> Speakers:
        seconds = np.bincount(path[self.speech], minlength=len(centres)) * SHORT_HOP
        return Speakers(path, unit(centres), seconds, np.zeros((0, len(centres)), np.uint8))


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


def _pruned(steps: _Steps, found: Speakers) -> Speakers:
    """Without voices that hardly talk; their speech goes to the others."""
    while len(found) > 1:
        needed = np.clip(_MIN_SHARE * found.seconds.sum(), *_MIN_SECONDS)
        going = found.seconds < needed * _HARDLY  # many at a time, since each round takes seconds
        if not going.any():
            little = found.seconds < needed
            little |= steps.shares_inside(found) < _MIN_INSIDE_SHARE
            going = little & (found.seconds == found.seconds[little].min(initial=np.inf))
        if not going.any() or going.all():
            break
        found = steps.settle(found.vectors[~going])
    return found


def _joined(steps: _Steps, found: Speakers, most: int | None = None) -> Speakers:
    """With voices joined that are one; where `most` is given, only until there are so many."""
    while len(found) > (most or 1):
        every = pairs(steps.own_vectors(found), found.vectors, found.seconds)
        likely = sorted(every, key=lambda pair: -pair.similarity)
        chosen = likely if most else [pair for pair in likely if pair.are_one]
        if not chosen:
            break
        one, other = chosen[0].voices
        centres = found.vectors.copy()
        centres[one] = found.seconds[[one, other]] @ centres[[one, other]]
        found = steps.settle(np.delete(centres, other, axis=0))
    return found


def _split(steps: _Steps, found: Speakers, fewest: int | None = None) -> Speakers:
    """
    With voices made two that are two.

    Where `fewest` is given, the one whose halves are furthest apart, until there are so many.
    """
    while len(found) < (MAX_SPEAKERS if fewest is None else fewest):
        every = list(halves(steps.own_vectors(found)))
        chosen = [each for each in every if each.are_two] or (every if fewest else [])
        if not chosen:
            break
        best = max(chosen, key=lambda each: each.distance)
        centres = np.delete(found.vectors, best.voice, axis=0)
        found = steps.settle(np.concatenate([centres, best.centres]), rounds=2)
    return found


_LONG_STEPS = 10  # of a stretch that says what a voice is like


@dataclass(frozen=True)
class _Stretch:
    """Unbroken speech of one voice, in steps; `vector` is the mean of what is heard in it."""

    start: int
    end: int
    voice: int
    vector: Array


def enough_voices(
    path: Array, centres: Array, speech: Array, vectors: Array, fewest: int
) -> tuple[Array, Array]:
    """
    Return path and centres with at least `fewest` voices that talk.

    While there are too few, the stretches of a voice that are least like the rest of it go to
    a voice of their own; where every voice has one stretch only, the longest is cut in two. What
    is still too few has fewer steps of speech than voices were asked for.

    Args:
        path: (steps,) the voice of each step, in silence too.
        centres: (voices, d).
        speech: (steps,) whether anybody talks.
        vectors: (steps, d) what is heard.
    """
    path, centres = path.copy(), centres.copy()
    while len(np.unique(path[speech])) < fewest:
        stretches = _stretches(path, speech, vectors)
        own = _least_alike(stretches) or _second_half(stretches, vectors)
        if not own:
            break
        silent = np.setdiff1d(np.arange(len(centres)), path[speech])
        voice = int(silent[0]) if len(silent) else len(centres)
        if voice == len(centres):
            centres = np.concatenate([centres, centres[:1]])
        centres[voice] = np.mean([stretch.vector for stretch in own], axis=0)
        for stretch in own:
            path[stretch.start : stretch.end] = voice
    return path, centres


def _stretches(path: Array, speech: Array, vectors: Array) -> list[_Stretch]:
    spoken = np.where(speech, path, -1)
    edges = np.flatnonzero(np.diff(spoken, prepend=-2, append=-2))
    return [
        _Stretch(start, end, int(spoken[start]), vectors[start:end].mean(axis=0))
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if spoken[start] >= 0
    ]


def _least_alike(stretches: list[_Stretch]) -> list[_Stretch]:
    """The stretches of a voice that are less like the rest of it than like its odd one out."""
    by_voice: dict[int, list[_Stretch]] = {}
    for stretch in stretches:
        by_voice.setdefault(stretch.voice, []).append(stretch)
    parted = [_parted(own) for own in by_voice.values() if len(own) > 1]
    return min(parted, key=lambda each: each[0])[1] if parted else []


def _parted(own: list[_Stretch]) -> tuple[tuple[bool, float], list[_Stretch]]:
    """How odd the odd one out is, short ones last, and those that are like it."""
    vectors = unit(np.stack([stretch.vector for stretch in own]))
    short = np.array([stretch.end - stretch.start < _LONG_STEPS for stretch in own])
    short |= ~vectors.any(axis=1)
    alike = vectors @ unit(vectors.sum(axis=0))
    odd = int(np.lexsort((alike, short))[0])
    moved = vectors @ vectors[odd] > vectors @ unit(vectors.sum(axis=0) - vectors[odd])
    moved[odd] = True
    if moved.all():
        moved = np.arange(len(own)) == odd
    chosen = [stretch for stretch, moves in zip(own, moved, strict=True) if moves]
    return (bool(short[odd]), float(alike[odd])), chosen


def _second_half(stretches: list[_Stretch], vectors: Array) -> list[_Stretch]:
    longest = max(stretches, key=lambda stretch: stretch.end - stretch.start, default=None)
    middle = (longest.start + longest.end) // 2 if longest else 0
    if longest is None or middle == longest.start:
        return []
    vector = vectors[middle : longest.end].mean(axis=0)
    return [_Stretch(middle, longest.end, longest.voice, vector)]
