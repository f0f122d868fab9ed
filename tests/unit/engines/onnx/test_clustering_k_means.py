"""k-means; tests/deploy/pyannote compares with scikit-learn's draws."""

import numpy as np
import pytest

from meet_transcriber.engines.onnx.clustering import k_means


@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_separate_groups_are_found(clusters: int) -> None:
    draw = np.random.default_rng(clusters)
    who = np.arange(40) % clusters
    vectors = 20 * np.eye(6)[who] + draw.standard_normal((40, 6))
    labels = k_means(vectors, clusters)
    assert len({*zip(who, labels, strict=True)}) == clusters
    assert sorted(set(labels)) == list(range(clusters))


def test_as_many_clusters_as_vectors() -> None:
    assert sorted(k_means(np.random.default_rng(0).standard_normal((5, 3)), 5)) == [0, 1, 2, 3, 4]


def test_equal_vectors_are_one_cluster() -> None:
    assert k_means(np.ones((4, 3)), 3).max() < 3


def test_vectors_are_not_modified_and_results_are_deterministic() -> None:
    vectors = np.random.default_rng(1).standard_normal((30, 4))
    before = vectors.copy()
    assert (k_means(vectors, 4) == k_means(vectors, 4)).all()
    assert (vectors == before).all()
