"""Agglomerative clustering as scipy does it, and k-means as scikit-learn does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from meet_transcriber.engines.onnx.embeddings import unit
from meet_transcriber.engines.onnx.network import Array
from meet_transcriber.engines.onnx.pooling import SHORT_HOP


def centroid_linkage(vectors: Array) -> Array:
    """
    Return the tree, (n - 1, 4): two branches, the distance of their centroids, and their size.

    Branches are numbered as in scipy.cluster.hierarchy.linkage: below n the vectors, n + i the
    i-th merge. Distances may fall from one merge to the next. O(n^2) time and memory.
    """
    count = len(vectors)
    tree = np.zeros((max(count - 1, 0), 4))
    squares = _squared_distances(vectors)
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


def cut(tree: Array, threshold: float) -> Array:
    """
    Return a cluster per vector, (n,) from 0: branches in which no merge is above `threshold`.

    That is scipy's fcluster by distance, which looks at the highest merge inside a branch.
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


def _squared_distances(vectors: Array) -> Array:
    vectors = vectors.astype(np.float64)
    lengths = np.square(vectors).sum(axis=1)
    squares: Array = lengths[:, None] + lengths - 2 * vectors @ vectors.T
    return np.maximum(squares, 0.0)


def _replace(squares: Array, one: int, other: int, merged: Array) -> None:
    """Put the merged cluster in the place of `one`, and take `other` away."""
    merged[[one, other]] = np.inf
    merged[np.isinf(squares[one])] = np.inf
    squares[one], squares[:, one] = merged, merged
    squares[other], squares[:, other] = np.inf, np.inf


def _update_nearest(squares: Array, nearest: Array, lowest: Array, one: int, other: int) -> None:
    """Keep each row's nearest cluster right after `one` took in `other`."""
    lowest[other] = np.inf
    closer = squares[one] < lowest
    nearest[closer], lowest[closer] = one, squares[one][closer]
    stale = np.flatnonzero(((nearest == one) | (nearest == other)) & ~closer & np.isfinite(lowest))
    for row in (one, *stale):
        nearest[row] = squares[row].argmin()
        lowest[row] = squares[row, nearest[row]]


_ROUNDS = 300
_TOLERANCE = 1e-4  # of the mean variance, that centres still move by


def k_means(vectors: Array, clusters: int, starts: int = 3, seed: int = 42) -> Array:
    """
    Return a cluster per vector, (n,) from 0, of the best of several starts.

    Clusters are not empty unless there are fewer different vectors than clusters.

    Args:
        vectors: (n, d), n at least `clusters`.
    """
    draw = np.random.RandomState(seed)
    limit = _TOLERANCE * vectors.var(axis=0).mean()
    vectors = vectors - vectors.mean(axis=0)
    best, least = np.zeros(len(vectors), np.int64), np.inf
    for _ in range(starts):
        labels, inertia = _settled(vectors, _first_centres(vectors, clusters, draw), limit)
        if inertia < least and not (np.isfinite(least) and _are_same(labels, best)):
            best, least = labels, inertia
    return np.unique(best, return_inverse=True)[1]


def _first_centres(vectors: Array, clusters: int, draw: np.random.RandomState) -> Array:
    """k-means++ (Arthur and Vassilvitskii 2007), the best of a few candidates each time."""
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
        # two vectors that lie alone are equally good but for rounding, so it has to be the same
        sums = closer @ once[:, None]
        best = int(sums.argmin())
        closest, left = closer[best], sums[best]
        centres.append(vectors[candidates[best]])
    return np.stack(centres)


def _settled(vectors: Array, centres: Array, limit: float) -> tuple[Array, float]:
    """Labels after Lloyd's rounds, and the sum of squared distances."""
    before = np.full(len(vectors), -1)
    for _ in range(_ROUNDS):
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
    """The means of clusters; an empty one gets the vector that lies farthest from its centre."""
    clusters = len(centres)
    members = (labels == np.arange(clusters)[:, None]).astype(np.float64)
    empty = np.flatnonzero(members.sum(axis=1) == 0)
    far = np.argsort(-np.square(vectors - centres[labels]).sum(axis=1), kind="stable")
    for cluster, place in zip(empty, far, strict=False):
        members[:, place] = 0
        members[cluster, place] = 1
    found: Array = members @ vectors / np.maximum(members.sum(axis=1, keepdims=True), 1)
    return found


def _are_same(one: Array, other: Array) -> bool:
    """Whether two clusterings differ in their numbers only."""
    pairs = np.unique(np.stack([one, other]), axis=1)
    return len(np.unique(one)) == len(np.unique(other)) == len(pairs.T)


def _squares(centres: Array, vectors: Array) -> Array:
    """(centres, n) squared distances."""
    found = -2 * (centres @ vectors.T)
    found += np.einsum("ij,ij->i", centres, centres)[:, None]
    found += np.einsum("ij,ij->i", vectors, vectors)
    squares: Array = np.maximum(found, 0)
    return squares


LEAST_STEPS = 4
"""Short embeddings that a voice needs to be looked at in two halves."""

_SAME = 0.85  # cosine between two voices that are one, with endless speech of each
_NOISE_SECONDS = 2.0  # speech that tells as much of a voice as it hides
_MAY_BE_SAME = 0.6  # cosine from which two voices are one if nothing separates them,
_ONE = 5.5  # which a distance below this says, in standard deviations
_TWO = (5.5, 15.0)  # halves of a voice are two from this distance on, plus this over the seconds,
# since two means find more distance by chance in little speech than in much
_MOST_ALIKE = 0.9  # cosine between such halves
_HALF_SECONDS = 5.0  # of speech that each half needs


@dataclass(frozen=True)
class Pair:
    """
    Two voices.

    Attributes:
        similarity: their cosine, raised where little is heard of one.
    """

    voices: tuple[int, int]
    similarity: float
    are_one: bool


def pairs(own: Sequence[Array], vectors: Array, seconds: Array) -> Iterator[Pair]:
    """
    Judge every pair of voices.

    Args:
        own: the short embeddings of each voice, (n, d).
        vectors: (voices, d) centroids of length 1.
        seconds: (voices,) of speech of each.
    """
    certainty = np.sqrt(1 + _NOISE_SECONDS / np.maximum(seconds, SHORT_HOP))
    cosines = vectors @ vectors.T
    alike = cosines * np.outer(certainty, certainty)
    for one, other in combinations(range(len(vectors)), 2):
        apart = _distance(own[one], own[other])
        sizes = len(own[one]), len(own[other])
        enough = min(sizes) * SHORT_HOP >= _HALF_SECONDS
        two = enough and _are_apart(apart, sum(sizes))
        same = alike[one, other] >= _SAME and not two
        blurred = cosines[one, other] >= _MAY_BE_SAME and apart < _ONE
        yield Pair((one, other), float(alike[one, other]), bool(same or blurred))


def _are_apart(distance: float, steps: int) -> bool:
    """Whether the halves of so many steps are two voices."""
    return distance >= _TWO[0] + _TWO[1] / (steps * SHORT_HOP)


def _distance(one: Array, other: Array) -> float:
    """Distance of two centroids in standard deviations of their vectors on the line between."""
    if min(len(one), len(other)) < LEAST_STEPS:
        return float("inf")
    line = other.mean(axis=0) - one.mean(axis=0)
    along = line / max(np.linalg.norm(line), 1e-9)
    spread = np.sqrt(((one @ along).var() + (other @ along).var()) / 2)
    return float(np.linalg.norm(line) / max(spread, 1e-6))


@dataclass(frozen=True)
class Halves:
    """
    A voice in two parts.

    Attributes:
        centres: (2, d) their centroids.
        distance: between them, in standard deviations.
    """

    voice: int
    centres: Array
    distance: float
    are_two: bool


def halves(own: Sequence[Array]) -> Iterator[Halves]:
    """Divide every voice with enough speech in two, given the short embeddings of each."""
    for voice, vectors in enumerate(own):
        if len(vectors) >= LEAST_STEPS:
            yield _in_two(voice, vectors)


def _in_two(voice: int, vectors: Array) -> Halves:
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


def _judged(voice: int, vectors: Array, second: Array, centres: Array) -> Halves:
    distance = _distance(vectors[~second], vectors[second])
    alike = float(np.prod(unit(centres), axis=0).sum())
    shorter = min(second.sum(), (~second).sum()) * SHORT_HOP
    apart = _are_apart(distance, len(second))
    are_two = apart and alike <= _MOST_ALIKE and shorter >= _HALF_SECONDS
    return Halves(voice, centres, distance, bool(are_two))
