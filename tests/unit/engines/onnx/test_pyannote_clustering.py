"""Counting, clustering and reconstruction; tests/deploy/pyannote compares with pyannote.audio."""

import numpy as np
import pytest

from meet_transcriber.engines.onnx.clustering import centroid_linkage
from meet_transcriber.engines.onnx.diarizer import reconstruct, to_annotation, to_diarization
from meet_transcriber.engines.onnx.pyannote_clustering import (
    NO_CLUSTER,
    cluster_agglomerative,
    cut_in_order,
    match_one_to_one,
    training_embeddings,
    training_mask,
)
from meet_transcriber.engines.onnx.speaker_segmentation import count_speakers
from tests.unit.engines.onnx.stepwise_golden import HINTS, Golden


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden()


def test_speaker_counts_are_those_of_pyannote(golden: Golden) -> None:
    found = count_speakers(golden.active, golden.starts, golden.frames)
    assert sorted(set(found)) == [0, 1, 2]
    assert found.tolist() == golden["free_count"].tolist()


@pytest.mark.parametrize("name", HINTS)
def test_clusters_are_those_of_pyannote(golden: Golden, name: str) -> None:
    found = cluster_agglomerative(golden.embeddings, golden.active, *HINTS[name])
    assert found.labels.tolist() == golden[f"{name}_labels"].tolist()
    assert found.centroids == pytest.approx(golden[f"{name}_centroids"], abs=1e-6)


@pytest.mark.parametrize("name", HINTS)
def test_the_same_people_talk_in_each_frame(golden: Golden, name: str) -> None:
    count = np.minimum(golden[f"{name}_count"].astype(int), HINTS[name][1] or 9)
    labels = golden[f"{name}_labels"].astype(int)
    votes = reconstruct(golden.active, labels, golden.starts, golden.frames)
    assert (to_diarization(votes, count) == golden.talking(f"{name}_every")).all()
    one = np.minimum(count, 1)
    assert (to_diarization(votes, one) == golden.talking(f"{name}_exclusive")).all()


def test_half_a_speaker_is_rounded_to_even() -> None:
    active = np.zeros((2, 589, 3), np.uint8)
    active[0, :, 0] = 1  # 0.5 on average where both see it
    active[1, 300:, :] = 1
    count = count_speakers(active, np.array([0.0, 0.0]), 589)
    assert count[[0, 299, 300, 588]].tolist() == [0, 0, 2, 2]


def test_frames_outside_of_all_windows_are_silent() -> None:
    active = np.ones((1, 589, 3), np.uint8)
    count = count_speakers(active, np.array([10.0]), 1300)
    assert [count[592], count[593], count[1181], count[1182]] == [0, 3, 3, 0]


def test_windows_that_reach_beyond_the_end_are_cut_off() -> None:
    active = np.ones((1, 589, 3), np.uint8)
    assert len(count_speakers(active, np.array([10.0]), 600)) == 600
    assert count_speakers(active, np.array([20.0]), 600).sum() == 0


def test_speakers_who_hardly_talk_alone_are_not_used_for_clustering() -> None:
    active = np.zeros((1, 589, 3), np.uint8)
    active[0, :118, 0] = 1
    active[0, 200:317, 1] = 1  # a frame too few
    active[0, 400:, 2] = 1
    embeddings = np.ones((1, 3, 4))
    assert training_mask(embeddings, active).tolist() == [[True, False, True]]
    embeddings[0, 2, 1] = np.nan
    assert training_mask(embeddings, active).tolist() == [[True, False, False]]
    active[0, :, 1] = 1  # over everybody
    assert not training_mask(embeddings, active)[0, 0]


def test_of_too_many_embeddings_evenly_chosen_ones_are_used() -> None:
    active = np.zeros((9, 589, 3), np.uint8)
    active[:, :300, 0] = 1
    embeddings = np.tile(np.arange(9.0)[:, None, None], (1, 3, 2))
    assert training_embeddings(embeddings, active, 3)[:, 0].tolist() == [0, 4, 8]
    assert len(training_embeddings(embeddings, active)) == 9


def test_without_usable_embeddings_there_is_one_cluster() -> None:
    active = np.zeros((2, 589, 3), np.uint8)
    active[0, :50, 1] = 1
    found = cluster_agglomerative(np.ones((2, 3, 4)), active, 3, 5)
    assert found.labels.tolist() == [[NO_CLUSTER, 0, NO_CLUSTER], [NO_CLUSTER] * 3]
    assert np.isnan(found.centroids).all()
    assert found.centroids.shape == (1, 4)


def test_speakers_of_a_window_get_different_clusters_while_there_are_enough() -> None:
    close = np.array([[[1.0, 0.0], [0.9, 0.1], [0.8, 0.3]]])
    assert match_one_to_one(close).tolist() == [[0, NO_CLUSTER, 1]]


def test_the_sum_of_similarities_in_a_window_is_the_largest() -> None:
    # each alone would take the first; an unknown speaker is matched last
    close = np.array([[[0.86, 0.51], [1.0, 0.0], [np.nan, np.nan]]])
    assert match_one_to_one(close).tolist() == [[1, 0, NO_CLUSTER]]


def test_more_people_than_clusters_get_additional_columns() -> None:
    found = to_diarization(np.array([[3.0], [0.0]], np.float32), np.array([2, 0]))
    assert found.tolist() == [[True, True], [False, False]]


def test_equal_votes_go_to_the_lower_number() -> None:
    votes = np.array([[1.0, 2.0, 2.0], [2.0, 2.0, 2.0]], np.float32)
    assert to_diarization(votes, np.array([1, 2])).tolist() == [
        [False, True, False],
        [True, True, False],
    ]


def test_stretches_run_from_middle_to_middle() -> None:
    talking = np.zeros((10, 2), bool)
    talking[2:4, 0] = talking[7:, 1] = talking[0, 1] = True
    middles = np.arange(10) * 0.016875 + 0.03096875
    found = [(middles[2], middles[4], 0), (middles[0], middles[1], 1), (middles[7], middles[9], 1)]
    assert list(to_annotation(talking)) == [pytest.approx(each) for each in found]


def test_branches_come_before_vectors_that_join_them_singly() -> None:
    vectors = np.array([[0.0], [5.0], [5.1], [9.0], [9.1]])
    tree = centroid_linkage(vectors)
    assert cut_in_order(tree, 0.2).tolist() == [2, 0, 0, 1, 1]  # as scipy's fcluster, less one
