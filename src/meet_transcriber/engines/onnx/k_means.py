"""
k-means as scikit-learn's KMeans does it, without scikit-learn.

The same draws of the same generator (scikit-learn 1.7: sklearn/cluster/_kmeans.py), since
pyannote's community-1 seeds it and so depends on them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

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
