"""The clustering of community-1; tests/deploy/pyannote compares with pyannote.audio."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.onnx.pyannote_clustering import (
    NO_CLUSTER,
    PLDA_FILES,
    cluster_vbx,
    read_plda,
)
from tests.unit.engines.onnx.stepwise_golden import HINTS, Golden

ARRAYS = (("mean1", "lda", "mean2"), ("mu", "tr", "psi"))


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden()


@pytest.mark.parametrize("name", HINTS)
def test_clusters_are_those_of_pyannote(golden: Golden, name: str) -> None:
    found = cluster_vbx(golden.embeddings, golden.active, golden.plda, *HINTS[name])
    assert found.labels.tolist() == golden[f"{name}_vbx_labels"].tolist()
    assert found.centroids == pytest.approx(golden[f"{name}_vbx_centroids"], abs=1e-5)


def test_two_speakers_of_a_window_are_never_one(golden: Golden) -> None:
    found = cluster_vbx(golden.embeddings, golden.active, golden.plda)
    for labels in found.labels:
        heard = labels[labels != NO_CLUSTER]
        assert len(set(heard)) == len(heard)


def test_one_embedding_is_one_speaker(golden: Golden) -> None:
    active = np.zeros((1, 589, 3), np.uint8)
    active[0, :300, 1] = 1
    found = cluster_vbx(golden.embeddings[:1], active, golden.plda, 2, 3)
    assert found.labels.tolist() == [[NO_CLUSTER, 0, NO_CLUSTER]]
    assert (found.centroids == golden.embeddings[0, 1]).all()


def test_no_more_speakers_are_made_than_there_are_embeddings(golden: Golden) -> None:
    found = cluster_vbx(golden.embeddings[:2], golden.active[:2], golden.plda, 20, 20)
    assert 2 <= len(found.centroids) <= 6
    assert np.isfinite(found.centroids).all()


def test_between_speakers_variance_falls_and_embeddings_of_one_spread_alike(golden: Golden) -> None:
    assert (np.diff(golden.plda.between) <= 0).all()
    assert golden.plda(golden.embeddings[:, 0]).shape == (len(golden.embeddings), 12)


def _write(folder: Path, golden: Golden, without: str = "") -> None:
    for file, names in zip(PLDA_FILES, ARRAYS, strict=True):
        arrays: dict[str, Any] = {name: golden[name] for name in names if name != without}
        np.savez(folder / file, **arrays)


def test_a_plda_is_read_from_its_two_files(golden: Golden, tmp_path: Path) -> None:
    _write(tmp_path, golden)
    found = read_plda(tmp_path)
    assert (found.transform == golden.plda.transform).all()
    assert (found.lda == golden["lda"]).all()


@pytest.mark.parametrize("without", ["mean1", "psi"])
def test_a_plda_that_lacks_a_part_is_refused(golden: Golden, tmp_path: Path, without: str) -> None:
    _write(tmp_path, golden, without)
    with pytest.raises(EngineUnavailable, match="contains no PLDA"):
        read_plda(tmp_path)


def test_damaged_and_missing_files_are_refused(golden: Golden, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="contains no PLDA"):
        read_plda(tmp_path)
    _write(tmp_path, golden)
    path = tmp_path / PLDA_FILES[1]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EngineUnavailable, match="contains no PLDA"):
        read_plda(tmp_path)


def test_objects_in_a_plda_are_never_unpickled(golden: Golden, tmp_path: Path) -> None:
    _write(tmp_path, golden)
    np.savez(tmp_path / PLDA_FILES[1], mu=np.array([print], object), tr=1, psi=1)
    with pytest.raises(EngineUnavailable, match="contains no PLDA"):
        read_plda(tmp_path)
