"""Clustering of whitened windows: how many voices, and whose is which."""

import numpy as np
import pytest

from meet_transcriber.engines.acoustic.clustering import MAX_WINDOWS, Matrix, cluster, ward


def _voices(*sizes: int, apart: float = 8.0) -> Matrix:
    """Windows of voices that scatter with variance 1, the k-th shifted along the k-th axis."""
    scatter = np.random.default_rng(1).standard_normal((sum(sizes), 10))
    for voice, (start, size) in enumerate(zip(np.cumsum((0, *sizes)), sizes, strict=False)):
        scatter[start : start + size, voice] += apart
    return scatter


def test_no_window_has_no_voice() -> None:
    assert len(cluster(np.zeros((0, 3)), 1, 50)) == 0


@pytest.mark.parametrize("sizes", [(80,), (60, 60), (60, 50, 40, 30)])
def test_the_number_of_voices_is_found(sizes: tuple[int, ...]) -> None:
    assert len(set(cluster(_voices(*sizes), 1, 50))) == len(sizes)


def test_a_small_voice_survives() -> None:
    labels = cluster(_voices(150, 150, 16), 1, 50)
    assert len(set(labels[-16:])) == 1
    assert labels[-1] not in labels[:300]


def test_voices_that_do_not_separate_are_one() -> None:
    assert set(cluster(_voices(60, 60, apart=1.0), 1, 50)) == {0}


@pytest.mark.parametrize("wanted", [1, 2, 4, 6])
def test_a_wanted_number_is_kept_exactly(wanted: int) -> None:
    labels = cluster(_voices(60, 50, 40, 30), wanted, wanted)
    assert len(set(labels)) == wanted


def test_more_windows_than_the_limit_are_all_labelled() -> None:
    labels = cluster(_voices(MAX_WINDOWS, MAX_WINDOWS), 1, 50)
    assert len(labels) == 2 * MAX_WINDOWS
    assert len(set(labels[:MAX_WINDOWS])) == len(set(labels[MAX_WINDOWS:])) == 1
    assert labels[0] != labels[-1]


def test_the_tree_joins_near_windows_first() -> None:
    merges = ward(np.array([[0.0], [0.1], [5.0], [5.3]]))
    assert [{merge.left, merge.right} for merge in merges] == [{0, 1}, {2, 3}, {4, 5}]
