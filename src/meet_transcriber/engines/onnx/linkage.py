"""Agglomerative clustering with centroid linkage, as scipy does it, without scipy."""

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
