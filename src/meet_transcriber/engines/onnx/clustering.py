"""Agglomerative clustering as scipy does it, and k-means as scikit-learn does."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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
