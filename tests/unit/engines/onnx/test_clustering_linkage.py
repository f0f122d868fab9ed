"""Clusters as scipy finds them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.cluster import hierarchy

from meet_transcriber.engines.onnx.clustering import centroid_linkage, cut_tree
from meet_transcriber.engines.onnx.embeddings import l2_normalize

Array = npt.NDArray[Any]


def _vectors(seed: int, count: int, dimensions: int = 8, heaps: int = 0) -> Array:
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((count, dimensions))
    if heaps:
        vectors = (
            0.2 * vectors
            + chance.standard_normal((heaps, dimensions))[chance.integers(heaps, size=count)]
        )
    return l2_normalize(vectors)


def _same_partition(one: Array, other: Array) -> bool:
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("heaps", [0, 4])
def test_trees_are_those_of_scipy(seed: int, heaps: int) -> None:
    vectors = _vectors(seed, 2 + 6 * seed, heaps=heaps)
    np.testing.assert_allclose(
        centroid_linkage(vectors), hierarchy.linkage(vectors, "centroid"), atol=1e-6
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.6, 0.75, 0.9, 1.2, 9.0])
def test_clusters_are_those_of_scipy(seed: int, threshold: float) -> None:
    """In few dimensions distances often decrease from one merge to the next."""
    vectors = _vectors(seed, 80, dimensions=2 + seed, heaps=seed % 3 * 2)
    ours = cut_tree(centroid_linkage(vectors), threshold)
    tree = hierarchy.linkage(vectors, "centroid")
    theirs = hierarchy.fcluster(tree, threshold, "distance")
    assert _same_partition(ours, theirs)
    assert sorted(set(ours)) == list(range(ours.max() + 1))


def test_distances_may_decrease_from_one_merge_to_the_next() -> None:
    """The centroid of two corners of a triangle is closer to the third than they are."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.87]])
    tree = centroid_linkage(corners)
    assert tree[1, 2] < tree[0, 2]
    assert cut_tree(tree, 0.95).tolist() == [0, 1, 2]
    assert cut_tree(tree, 1.01).tolist() == [0, 0, 0]


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_vectors_that_are_the_same_are_one_cluster(count: int) -> None:
    tree = centroid_linkage(np.repeat(_vectors(1, 1), count, axis=0))
    assert tree.shape == (count - 1, 4)
    np.testing.assert_allclose(tree[:, 2], 0, atol=1e-6)
    assert set(cut_tree(tree, 1e-5)) == {0}


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_are_clustered_as_in_scipy(seed: int) -> None:
    """The order of ties is unspecified; the clusters are the same."""
    vectors = np.repeat(_vectors(seed, 12), 4, axis=0)
    tree, theirs = centroid_linkage(vectors), hierarchy.linkage(vectors, "centroid")
    np.testing.assert_allclose(tree[:, 2], theirs[:, 2], atol=1e-6)
    for threshold in (1e-4, 0.5, 0.8):
        expected = hierarchy.fcluster(theirs, threshold, "distance")
        assert _same_partition(cut_tree(tree, threshold), expected)


def test_corners_of_a_square_may_pair_either_way() -> None:
    tree = centroid_linkage(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(tree[:, 2], [1, 1, 1])
    assert tree[-1, 3] == 4


def test_two_vectors() -> None:
    tree = centroid_linkage(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(tree, [[0, 1, 5, 2]])
    assert cut_tree(tree, 5.0).tolist() == [0, 0]
    assert cut_tree(tree, 4.99).tolist() == [0, 1]


def test_one_vector_is_one_cluster() -> None:
    tree = centroid_linkage(_vectors(1, 1))
    assert tree.shape == (0, 4)
    assert cut_tree(tree, 0.7).tolist() == [0]


def test_no_vector_has_no_tree() -> None:
    assert centroid_linkage(np.zeros((0, 192))).shape == (0, 4)


def test_vectors_are_not_changed() -> None:
    vectors = _vectors(3, 20).astype(np.float32)
    before = vectors.copy()
    centroid_linkage(vectors)
    np.testing.assert_array_equal(vectors, before)
