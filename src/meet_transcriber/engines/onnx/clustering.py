"""
Clustering of embeddings: centroid linkage as in scipy, k-means as in scikit-learn.

Also whether two clusters are one voice, and whether one cluster is two: embeddings of one voice lie
around one point of the line between two centroids, those of two voices around two, with a gap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from meet_transcriber.engines.onnx.embeddings import l2_normalize
from meet_transcriber.engines.onnx.network import Array
from meet_transcriber.engines.onnx.pooling import SHORT_HOP


def centroid_linkage(vectors: Array) -> Array:
    """
    Return the tree (n - 1, 4): two branches, the distance of their centroids, and their size.

    Branches are numbered as in scipy.cluster.hierarchy.linkage: vectors below n, and n + i for
    merge i. Distances may decrease from one merge to the next. O(n^2) time and memory.
    """
    count = len(vectors)
    tree = np.zeros((max(count - 1, 0), 4))
    vectors = vectors.astype(np.float64)
    lengths = np.square(vectors).sum(axis=1)
    squares: Array = np.maximum(lengths[:, None] + lengths - 2 * vectors @ vectors.T, 0.0)
    np.fill_diagonal(squares, np.inf)
    sizes, names = np.ones(count), np.arange(count)
    nearest = squares.argmin(axis=1) if count > 1 else np.zeros(count, int)
    lowest = squares[np.arange(count), nearest] if count > 1 else np.zeros(count)
    for place in range(count - 1):
        one = int(lowest.argmin())
        other = int(nearest[one])
        height = squares[one, other]
        both = sizes[one] + sizes[other]
        pair = sorted((names[one], names[other]))
        tree[place] = [*pair, np.sqrt(max(height, 0.0)), both]
        share = sizes[one] / both, sizes[other] / both
        merged = share[0] * squares[one] + share[1] * squares[other] - share[0] * share[1] * height
        _replace(squares, one, other, merged)
        sizes[one], names[one] = both, count + place
        _update_nearest(squares, nearest, lowest, one, other)
    return tree


def cut_tree(tree: Array, threshold: float) -> Array:
    """
    Return the cluster of each vector, (n,) from 0: branches without a merge above `threshold`.

    The same as scipy's fcluster by distance, which uses the highest merge inside a branch.
    """
    count = len(tree) + 1
    highest = np.zeros(2 * count - 1)
    parent = np.arange(2 * count - 1)
    for place, (one, other, height, _) in enumerate(tree):
        name = count + place
        highest[name] = max(height, highest[int(one)], highest[int(other)])
        if highest[name] <= threshold:
            parent[int(one)] = parent[int(other)] = name
    for name in range(2 * count - 2, -1, -1):
        parent[name] = parent[parent[name]]
    return np.unique(parent[:count], return_inverse=True)[1]


def _replace(squares: Array, one: int, other: int, merged: Array) -> None:
    """Replace `one` by the merged cluster and remove `other`."""
    merged[[one, other]] = np.inf
    merged[np.isinf(squares[one])] = np.inf
    squares[one], squares[:, one] = merged, merged
    squares[other], squares[:, other] = np.inf, np.inf


def _update_nearest(squares: Array, nearest: Array, lowest: Array, one: int, other: int) -> None:
    """Update the nearest cluster of each row after `other` was merged into `one`."""
    lowest[other] = np.inf
    closer = squares[one] < lowest
    nearest[closer], lowest[closer] = one, squares[one][closer]
    stale = np.flatnonzero(((nearest == one) | (nearest == other)) & ~closer & np.isfinite(lowest))
    for row in (one, *stale):
        nearest[row] = squares[row].argmin()
        lowest[row] = squares[row, nearest[row]]


_STARTS, _SEED = 3, 42  # those of pyannote.audio, so that the clusters are the same
_MAX_ROUNDS = 300
_TOLERANCE = 1e-4  # movement of the centres, relative to the mean variance


def k_means(vectors: Array, clusters: int) -> Array:
    """
    Return the cluster of each vector, (n,) from 0, by the best of three starts.

    Clusters are not empty unless there are fewer distinct vectors than clusters.

    Args:
        vectors: (n, d), n at least `clusters`.
    """
    draw = np.random.RandomState(_SEED)
    limit = _TOLERANCE * vectors.var(axis=0).mean()
    vectors = vectors - vectors.mean(axis=0)
    best, least = np.zeros(len(vectors), np.int64), np.inf
    for _ in range(_STARTS):
        labels, inertia = _lloyd(vectors, _choose_centres(vectors, clusters, draw), limit)
        if inertia < least and not (np.isfinite(least) and _are_equivalent(labels, best)):
            best, least = labels, inertia
    return np.unique(best, return_inverse=True)[1]


def _choose_centres(vectors: Array, clusters: int, draw: np.random.RandomState) -> Array:
    """Choose centres by k-means++ (Arthur and Vassilvitskii 2007), the best of a few candidates."""
    count = len(vectors)
    once = np.ones(count)
    centres = [vectors[draw.choice(count, p=once / count)]]
    trials = 2 + int(np.log(clusters))
    (closest,) = _squares(centres[0][None], vectors)
    left = closest @ once
    for _ in range(1, clusters):
        candidates = np.searchsorted(np.cumsum(closest), draw.uniform(size=trials) * left)
        candidates = np.minimum(candidates, count - 1)
        closer = np.minimum(closest, _squares(vectors[candidates], vectors))
        # two isolated vectors are equal but for rounding, so this has to round as scikit-learn
        sums = closer @ once[:, None]
        best = int(sums.argmin())
        closest, left = closer[best], sums[best]
        centres.append(vectors[candidates[best]])
    return np.stack(centres)


def _lloyd(vectors: Array, centres: Array, limit: float) -> tuple[Array, float]:
    """Return labels after Lloyd's algorithm, and the sum of squared distances."""
    before = np.full(len(vectors), -1)
    for _ in range(_MAX_ROUNDS):
        labels = _squares(centres, vectors).argmin(axis=0)
        old, centres = centres, _means(vectors, labels, centres)
        if (labels == before).all():
            break
        if np.square(centres - old).sum() <= limit:
            labels = _squares(centres, vectors).argmin(axis=0)
            break
        before = labels
    return labels, float(np.square(vectors - centres[labels]).sum())


def _means(vectors: Array, labels: Array, centres: Array) -> Array:
    """Return the means of clusters; an empty one gets the vector farthest from its centre."""
    clusters = len(centres)
    members = (labels == np.arange(clusters)[:, None]).astype(np.float64)
    empty = np.flatnonzero(members.sum(axis=1) == 0)
    far = np.argsort(-np.square(vectors - centres[labels]).sum(axis=1), kind="stable")
    for cluster, place in zip(empty, far, strict=False):
        members[:, place] = 0
        members[cluster, place] = 1
    found: Array = members @ vectors / np.maximum(members.sum(axis=1, keepdims=True), 1)
    return found


def _are_equivalent(one: Array, other: Array) -> bool:
    """Return whether two clusterings are the same but for their numbering."""
    pairs = np.unique(np.stack([one, other]), axis=1)
    return len(np.unique(one)) == len(np.unique(other)) == len(pairs.T)


def _squares(centres: Array, vectors: Array) -> Array:
    """Return the squared distances (centres, n)."""
    found = -2 * (centres @ vectors.T)
    found += np.einsum("ij,ij->i", centres, centres)[:, None]
    found += np.einsum("ij,ij->i", vectors, vectors)
    squares: Array = np.maximum(found, 0)
    return squares


_MIN_STEPS = 4  # short embeddings of a voice that is split
_SAME_COSINE = 0.85  # of two voices that are one, with unlimited speech of each
_NOISE_SECONDS = 2.0  # speech with as much noise as signal about the voice
_MAYBE_SAME_COSINE = 0.6  # of two voices that are one if no gap separates them:
_MAX_ONE_DISTANCE = 5.5  # below this distance, in standard deviations
# Distance of two voices; the second value is divided by the seconds of speech and added, since
# two means have a larger distance by chance if there is little speech.
_MIN_TWO_DISTANCE = (5.5, 15.0)
_MAX_TWO_COSINE = 0.9
_HALF_SECONDS = 5.0  # of speech in each of two voices


@dataclass(frozen=True)
class VoicePair:
    """
    Whether two voices are one.

    Attributes:
        similarity: their cosine, increased if there is little speech of one.
    """

    voices: tuple[int, int]
    similarity: float
    is_one_voice: bool


def judge_pairs(own: Sequence[Array], vectors: Array, seconds: Array) -> Iterator[VoicePair]:
    """
    Judge all pairs of voices.

    Args:
        own: the short embeddings (n, d) of each voice.
        vectors: (voices, d) centroids of length 1.
        seconds: (voices,) of speech.
    """
    certainty = np.sqrt(1 + _NOISE_SECONDS / np.maximum(seconds, SHORT_HOP))
    cosines = vectors @ vectors.T
    alike = cosines * np.outer(certainty, certainty)
    for one, other in combinations(range(len(vectors)), 2):
        apart = _distance(own[one], own[other])
        sizes = len(own[one]), len(own[other])
        enough = min(sizes) * SHORT_HOP >= _HALF_SECONDS
        two = enough and _are_apart(apart, sum(sizes))
        same = alike[one, other] >= _SAME_COSINE and not two
        blurred = cosines[one, other] >= _MAYBE_SAME_COSINE and apart < _MAX_ONE_DISTANCE
        yield VoicePair((one, other), float(alike[one, other]), bool(same or blurred))


def _are_apart(distance: float, steps: int) -> bool:
    """Return whether halves with `steps` in all are two voices."""
    return distance >= _MIN_TWO_DISTANCE[0] + _MIN_TWO_DISTANCE[1] / (steps * SHORT_HOP)


def _distance(one: Array, other: Array) -> float:
    """Return the distance of two centroids in standard deviations along the line between them."""
    if min(len(one), len(other)) < _MIN_STEPS:
        return float("inf")
    # Only along this line: in the other dimensions both vary with what is said.
    line = other.mean(axis=0) - one.mean(axis=0)
    along = line / max(np.linalg.norm(line), 1e-9)
    spread = np.sqrt(((one @ along).var() + (other @ along).var()) / 2)
    return float(np.linalg.norm(line) / max(spread, 1e-6))


@dataclass(frozen=True)
class VoiceSplit:
    """
    A voice split in two.

    Attributes:
        centres: (2, d) centroids of the halves.
        distance: between them, in standard deviations.
    """

    voice: int
    centres: Array
    distance: float
    are_two_voices: bool


def split_voices(own: Sequence[Array]) -> Iterator[VoiceSplit]:
    """Split each voice with enough speech in two, given its short embeddings."""
    for voice, vectors in enumerate(own):
        if len(vectors) >= _MIN_STEPS:
            yield _split(voice, vectors)


def _split(voice: int, vectors: Array) -> VoiceSplit:
    """Split by two means, starting along the direction of the largest variance."""
    centred = vectors - vectors.mean(axis=0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    second = centred @ direction > 0
    # Converges within a few rounds; the limit is for halves that alternate for ever.
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
        # Without a direction to split along, halves that are as near to each other as can be.
        second = np.arange(len(vectors)) % 2 == 1
        centres = np.stack([vectors[~second].mean(axis=0), vectors[second].mean(axis=0)])
    distance = _distance(vectors[~second], vectors[second])
    alike = float(np.prod(l2_normalize(centres), axis=0).sum())
    shorter = min(second.sum(), (~second).sum()) * SHORT_HOP
    apart = _are_apart(distance, len(second))
    are_two_voices = apart and alike <= _MAX_TWO_COSINE and shorter >= _HALF_SECONDS
    return VoiceSplit(voice, centres, distance, bool(are_two_voices))
