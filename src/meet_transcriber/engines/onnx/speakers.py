"""
Finds the number of speakers and who talks in each step of 0.1 s.

Clusters of local speakers are the first guess. Then each step is assigned to the most similar
voice and voices are recomputed from their steps; voices with little speech are removed, voices that
are one are joined, and a voice that is two is split. This also separates speakers that segmentation
took for one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from meet_transcriber.core.options import MAX_SPEAKERS
from meet_transcriber.core.scoring import assign
from meet_transcriber.engines.onnx.clustering import (
    centroid_linkage,
    cut_tree,
    judge_pairs,
    split_voices,
)
from meet_transcriber.engines.onnx.embeddings import l2_normalize
from meet_transcriber.engines.onnx.network import Array
from meet_transcriber.engines.onnx.pooling import SHORT_HOP, SHORT_SECONDS, Embeddings
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    Activity,
    first_frame,
)

_MIN_LOCAL_SECONDS = 1.0  # in which a local speaker talks alone, to be clustered
_MAX_DISTANCE = 0.68  # between centroids of a cluster
_MIN_MEMBERS = (5, 0.1)  # of a cluster: a number, or a share if there are few vectors
_BLOCK = 600  # local speakers clustered at a time: 10 to 20 minutes

_SURE_SECONDS = 0.9  # of one person in a short embedding that voices are computed from
_MIN_SHARE = 0.03  # of all speech that a voice needs,
_MIN_SECONDS = (1.0, 12.0)  # within these bounds
_REMOVED_SHARE = 0.3  # of what is needed, below which a voice is removed at once
_MIN_INSIDE_SHARE = 0.003  # of speech away from changes; in hours, mixtures exceed 12 s
_MAX_STEPS = 3000  # of a voice that are compared: five minutes
_EDGE_STEPS = 7  # next to a change of speaker, where a short embedding contains both
_MIN_SPLIT_SECONDS = 2.0  # of speech for each requested voice
_LONG_STEPS = 10  # of a stretch that represents its voice

_COSINE_GAIN = 3.0
_VOTE_GAIN = 1.0  # of all windows of segmentation, where short embeddings have no speech
_CHANGE_COST = 4.0  # of a change of speaker during speech,
_SILENT_CHANGE_COST = 1.0  # and in silence


@dataclass(frozen=True)
class Speakers:
    """
    Who talks in each step.

    Attributes:
        path: (steps,) the voice of each step of 0.1 s, from 0; also in silence.
        vectors: (voices, d) embeddings of length 1.
        seconds: (voices,) of speech.
        votes: (frames, voices) number of segmentation windows in which a voice talks.
    """

    path: Array
    vectors: Array
    seconds: Array
    votes: Array

    def __len__(self) -> int:
        return len(self.vectors)


def find_speakers(
    activity: Activity, embeddings: Embeddings, fewest: int, most: int
) -> Speakers | None:
    """
    Return who talks; None if there is no speech.

    Args:
        fewest, most: bounds of the number of speakers, inclusive.
    """
    steps = _Steps(activity, embeddings)
    if not steps.speech.any():
        return None
    found = _join(steps, _prune(steps, steps.reassign(_first_guess(embeddings), rounds=2)))
    found = _join(steps, _prune(steps, _split(steps, found)))
    # `ensure_at_least` adds voices of less than two seconds
    enough = min(fewest, int(steps.speech.sum() * SHORT_HOP / _MIN_SPLIT_SECONDS))
    found = _split(steps, _join(steps, found, most=most), fewest=enough)
    return steps.ensure_at_least(fewest, steps.finalize(found.vectors))


def _first_guess(embeddings: Embeddings) -> Array:
    """Return centroids of clusters of local speakers; one if nobody ever talks alone."""
    alone = embeddings.local_seconds.ravel()
    vectors = embeddings.local.reshape(len(alone), -1)
    usable = alone >= min(_MIN_LOCAL_SECONDS, alone.max(initial=0.0))
    usable &= alone > 0
    if not usable.any():
        everybody: Array = vectors.mean(axis=0, keepdims=True)
        return everybody
    vectors = vectors[usable]
    labels = _cluster(vectors)
    sizes = np.bincount(labels)
    least = max(1, min(_MIN_MEMBERS[0], round(_MIN_MEMBERS[1] * len(vectors))))
    kept = np.flatnonzero(sizes >= least)
    if not len(kept):
        kept = np.array([sizes.argmax()])
    kept = np.sort(kept[np.argsort(-sizes[kept], kind="stable")][:MAX_SPEAKERS])
    return np.stack([vectors[labels == label].mean(axis=0) for label in kept])


def _cluster(vectors: Array) -> Array:
    """Return the cluster of each vector; in blocks whose clusters are clustered again."""
    if len(vectors) <= _BLOCK:
        return cut_tree(centroid_linkage(vectors), _MAX_DISTANCE)
    blocks = np.array_split(np.arange(len(vectors)), -(-len(vectors) // _BLOCK))
    labels = np.zeros(len(vectors), int)
    centres: list[Array] = []
    for block in blocks:
        local = cut_tree(centroid_linkage(vectors[block]), _MAX_DISTANCE)
        labels[block] = local + len(centres)
        centres += [vectors[block][local == label].mean(axis=0) for label in range(local.max() + 1)]
    joined = np.stack(centres)
    if len(joined) > len(vectors) / 2:  # hardly any vectors are similar
        return labels
    whole: Array = _cluster(joined)[labels]
    return whole


def _count_votes(activity: Activity, embeddings: Embeddings, vectors: Array) -> Array:
    """Return (frames, voices) uint8: the number of windows in which a voice talks."""
    votes = np.zeros((len(activity.count), len(vectors)), np.uint8)
    for active, local, start in zip(
        activity.active, embeddings.local, activity.starts, strict=True
    ):
        place = first_frame(float(start))
        seen = votes[place : place + len(active)]
        for speaker, voice in _match_speakers(local, active, vectors):
            seen[:, voice] += active[: len(seen), speaker]
    return votes


def _match_speakers(local: Array, active: Array, vectors: Array) -> Iterator[tuple[int, int]]:
    """Match active local speakers to distinct voices, with the largest sum of similarities."""
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
    """The steps of a recording and their short embeddings."""

    def __init__(self, activity: Activity, embeddings: Embeddings) -> None:
        self._activity, self._embeddings = activity, embeddings
        self.vectors, heard = embeddings.short, embeddings.short_seconds
        times = (np.arange(len(heard)) + 0.5) * SHORT_HOP
        places = np.rint((times - FIRST_FRAME_SECONDS) / FRAME_SECONDS).astype(int)
        self._frames = np.clip(places, 0, len(activity.count) - 1)
        self.speech = activity.count[self._frames] > 0
        self.sure = self.speech & (heard >= _SURE_SECONDS)
        if not self.sure.any():
            self.sure = self.speech
        self._costs = np.where(self.speech, _CHANGE_COST, _SILENT_CHANGE_COST)
        self._weights = (np.minimum(heard / SHORT_SECONDS, 1) * self.speech).astype(np.float32)

    def similarities(self, centres: Array) -> Array:
        """Return cosines (steps, voices), weighted by the speech in each step."""
        cosines = self.vectors @ l2_normalize(centres).T.astype(np.float32)
        found: Array = cosines * self._weights[:, None]
        return found

    def reassign(self, centres: Array, rounds: int = 1) -> Speakers:
        """Assign each step to a voice and recompute voices from their steps."""
        path = np.zeros(len(self.speech), int)
        for _ in range(rounds):
            path = best_path(_COSINE_GAIN * self.similarities(centres), self._costs)
            own = [self.sure & (path == voice) for voice in range(len(centres))]
            means = [
                # a product makes no copy of the vectors
                each.astype(np.float32) @ self.vectors / each.sum() if each.any() else centre
                for each, centre in zip(own, centres, strict=True)
            ]
            centres = np.stack(means)
        return self._speakers(path, centres, np.zeros((0, len(centres)), np.uint8))

    def finalize(self, centres: Array) -> Speakers:
        """Compute the final path; segmentation decides where nobody talks alone."""
        votes = _count_votes(self._activity, self._embeddings, l2_normalize(centres))
        share = votes[self._frames] / np.maximum(votes[self._frames].sum(axis=1, keepdims=True), 1)
        unheard = 1 - self._weights[:, None]  # in overlap and in short speech
        gains = _COSINE_GAIN * self.similarities(centres) + _VOTE_GAIN * share * unheard
        return self._speakers(best_path(gains, self._costs), centres, votes)

    def ensure_at_least(self, fewest: int, found: Speakers) -> Speakers:
        """Add voices up to the requested number, if there is enough speech."""
        path, centres = add_missing_voices(
            found.path, found.vectors, self.speech, self.vectors, fewest
        )
        if np.array_equal(path, found.path):
            return found
        votes = _count_votes(self._activity, self._embeddings, l2_normalize(centres))
        return self._speakers(path, centres, votes)

    def own_vectors(self, found: Speakers) -> list[Array]:
        """
        Return the short embeddings of each voice away from changes, which contain one voice only.

        Of long recordings an evenly chosen part is enough.
        """
        inside = self._inside(found)
        places = [np.flatnonzero(inside & (found.path == voice)) for voice in range(len(found))]
        return [self.vectors[own[:: 1 + len(own) // _MAX_STEPS]] for own in places]

    def shares_inside(self, found: Speakers) -> Array:
        """Return (voices,) shares of the speech away from changes."""
        steps = np.bincount(found.path[self._inside(found)], minlength=len(found))
        shares: Array = steps / max(steps.sum(), 1)
        return shares

    def _inside(self, found: Speakers) -> Array:
        """Return (steps,) bool: sure steps without a change nearby."""
        changes = np.flatnonzero(np.diff(found.path)) + 1
        inside: Array = self.sure.copy()
        for offset in range(-_EDGE_STEPS, _EDGE_STEPS):
            inside[np.clip(changes + offset, 0, len(inside) - 1)] = False
        return inside

    def _speakers(self, path: Array, centres: Array, votes: Array) -> Speakers:
        seconds = np.bincount(path[self.speech], minlength=len(centres)) * SHORT_HOP
        return Speakers(path, l2_normalize(centres), seconds, votes)


def best_path(gains: Array, costs: Array) -> Array:
    """
    Return the voices (steps,) with the largest sum of gains less costs of changes (Viterbi).

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


def _prune(steps: _Steps, found: Speakers) -> Speakers:
    """Remove voices with little speech, which is assigned to the others."""
    while len(found) > 1:
        needed = np.clip(_MIN_SHARE * found.seconds.sum(), *_MIN_SECONDS)
        going = found.seconds < needed * _REMOVED_SHARE  # many at a time: a round takes seconds
        if not going.any():
            little = found.seconds < needed
            little |= steps.shares_inside(found) < _MIN_INSIDE_SHARE
            going = little & (found.seconds == found.seconds[little].min(initial=np.inf))
        if not going.any() or going.all():
            break
        found = steps.reassign(found.vectors[~going])
    return found


def _join(steps: _Steps, found: Speakers, most: int | None = None) -> Speakers:
    """Join voices that are one; with `most`, the most similar ones until so many are left."""
    while len(found) > (most or 1):
        every = judge_pairs(steps.own_vectors(found), found.vectors, found.seconds)
        likely = sorted(every, key=lambda pair: -pair.similarity)
        chosen = likely if most else [pair for pair in likely if pair.is_one_voice]
        if not chosen:
            break
        one, other = chosen[0].voices
        centres = found.vectors.copy()
        centres[one] = found.seconds[[one, other]] @ centres[[one, other]]
        found = steps.reassign(np.delete(centres, other, axis=0))
    return found


def _split(steps: _Steps, found: Speakers, fewest: int | None = None) -> Speakers:
    """
    Split voices that are two.

    With `fewest`, the voice whose halves are furthest apart, until there are so many.
    """
    while len(found) < (MAX_SPEAKERS if fewest is None else fewest):
        every = list(split_voices(steps.own_vectors(found)))
        chosen = [each for each in every if each.are_two_voices] or (every if fewest else [])
        if not chosen:
            break
        best = max(chosen, key=lambda each: each.distance)
        centres = np.delete(found.vectors, best.voice, axis=0)
        found = steps.reassign(np.concatenate([centres, best.centres]), rounds=2)
    return found


@dataclass(frozen=True)
class _Stretch:
    """Uninterrupted speech of one voice, in steps; `vector` is the mean of its embeddings."""

    start: int
    end: int
    voice: int
    vector: Array


def add_missing_voices(
    path: Array, centres: Array, speech: Array, vectors: Array, fewest: int
) -> tuple[Array, Array]:
    """
    Return path and centres with at least `fewest` voices that talk.

    The stretches of a voice that are least similar to its other ones become a new voice; if each
    voice has one stretch only, the longest is halved. The result has fewer voices only if there are
    fewer steps of speech.

    Args:
        path: (steps,) the voice of each step, also in silence.
        centres: (voices, d).
        speech: (steps,) bool.
        vectors: (steps, d) short embeddings.
    """
    path, centres = path.copy(), centres.copy()
    while len(np.unique(path[speech])) < fewest:
        stretches = _stretches(path, speech, vectors)
        own = _least_similar(stretches) or _second_half(stretches, vectors)
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


def _least_similar(stretches: list[_Stretch]) -> list[_Stretch]:
    """Return the stretches of a voice that are more similar to its outlier than to the others."""
    by_voice: dict[int, list[_Stretch]] = {}
    for stretch in stretches:
        by_voice.setdefault(stretch.voice, []).append(stretch)
    candidates = [_outliers(own) for own in by_voice.values() if len(own) > 1]
    return min(candidates, key=lambda each: each[0])[1] if candidates else []


def _outliers(own: list[_Stretch]) -> tuple[tuple[bool, float], list[_Stretch]]:
    """Return a rank, short outliers last, and the stretches that are similar to the outlier."""
    vectors = l2_normalize(np.stack([stretch.vector for stretch in own]))
    short = np.array([stretch.end - stretch.start < _LONG_STEPS for stretch in own])
    short |= ~vectors.any(axis=1)
    alike = vectors @ l2_normalize(vectors.sum(axis=0))
    outlier = int(np.lexsort((alike, short))[0])
    others = l2_normalize(vectors.sum(axis=0) - vectors[outlier])
    moved = vectors @ vectors[outlier] > vectors @ others
    moved[outlier] = True
    if moved.all():
        moved = np.arange(len(own)) == outlier
    chosen = [stretch for stretch, moves in zip(own, moved, strict=True) if moves]
    return (bool(short[outlier]), float(alike[outlier])), chosen


def _second_half(stretches: list[_Stretch], vectors: Array) -> list[_Stretch]:
    longest = max(stretches, key=lambda stretch: stretch.end - stretch.start, default=None)
    middle = (longest.start + longest.end) // 2 if longest else 0
    if longest is None or middle == longest.start:
        return []
    vector = vectors[middle : longest.end].mean(axis=0)
    return [_Stretch(middle, longest.end, longest.voice, vector)]
