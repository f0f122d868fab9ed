"""WeSpeaker's network, held to torch's outputs (scripts.make_stepwise_goldens)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from meet_transcriber.engines.onnx.embeddings import (
    CHUNK_SECONDS,
    SUBSAMPLING,
    TRUNK_HZ,
    WeSpeaker,
    wespeaker_features,
    wespeaker_graph,
    wespeaker_head,
)
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ
from tests.unit.engines.onnx.checkpoints import Tensor, dictionary, write

Array = npt.NDArray[Any]

GOLDEN = Path(__file__).parents[3] / "golden" / "speakers" / "wespeaker.npz"


@pytest.fixture(scope="module")
def golden() -> Mapping[str, Array]:
    """A network with one to eight channels, features of it, and what torch says."""
    with np.load(GOLDEN) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def _trunk(golden: Mapping[str, Array], features: Array) -> Array:
    session = onnxruntime.InferenceSession(wespeaker_graph(golden, features.shape[1]))
    found: Array = session.run(None, {"features": features})[0]
    return found


def test_the_trunk_is_that_of_torch(golden: Mapping[str, Array]) -> None:
    features = golden["features"]
    found = _trunk(golden, features)
    assert found.shape == (1, wespeaker_features(golden), features.shape[1] // SUBSAMPLING)
    assert np.abs(golden["trunk"]).max() > 1
    np.testing.assert_allclose(found, golden["trunk"], atol=1e-4)


def test_the_head_is_that_of_torch(golden: Mapping[str, Array]) -> None:
    trunk = golden["trunk"]
    pooled = np.concatenate([trunk.mean(axis=2), trunk.std(axis=2, ddof=1)], axis=1)
    np.testing.assert_allclose(wespeaker_head(golden, pooled), golden["embedding"], atol=1e-4)


def test_chunks_are_independent(golden: Mapping[str, Array]) -> None:
    features = golden["features"]
    both = _trunk(golden, np.concatenate([features, features[:, ::-1]]))
    np.testing.assert_allclose(both[:1], golden["trunk"], atol=1e-4)
    assert np.abs(both[1] - both[0]).max() > 0.1


def _saved(golden: Mapping[str, Array], path: Path) -> Path:
    """The network as a checkpoint."""
    weights = {name: value for name, value in golden.items() if name.startswith("resnet.")}
    tensors = {
        name: Tensor(
            name, "FloatStorage", value.shape, [step // value.itemsize for step in value.strides]
        ).opcodes()
        for name, value in weights.items()
    }
    return write(path, dictionary(tensors), weights)


def test_frames_of_80_ms_are_repeated_for_the_nearest_frames_of_20_ms(
    golden: Mapping[str, Array], tmp_path: Path
) -> None:
    network = WeSpeaker(_saved(golden, tmp_path / "pytorch_model.bin"))
    audio = np.random.default_rng(0).standard_normal(5 * SAMPLE_RATE_HZ).astype(np.float32) * 0.1
    trunk = network.trunk(audio)
    assert trunk.shape == (2 * CHUNK_SECONDS * TRUNK_HZ, network.features)
    changes = np.flatnonzero((trunk[1:200] != trunk[:199]).any(axis=1)) + 1
    assert changes.tolist() == list(range(2, 198, 4))
    assert network.trunk(audio[:0]).shape == (0, network.features)


def test_embeddings_keep_their_length(golden: Mapping[str, Array], tmp_path: Path) -> None:
    network = WeSpeaker(_saved(golden, tmp_path / "pytorch_model.bin"))
    trunk = golden["trunk"]
    found = network.head(trunk.mean(axis=2), trunk.std(axis=2, ddof=1))
    np.testing.assert_allclose(found, golden["embedding"], atol=1e-4)


def test_the_same_weights_give_the_same_bytes(golden: Mapping[str, Array]) -> None:
    assert wespeaker_graph(golden, 64) == wespeaker_graph(golden, 64)


def test_weights_of_another_network_raise_the_missing_name(golden: Mapping[str, Array]) -> None:
    lacking = {name: value for name, value in golden.items() if "layer3.0.conv2" not in name}
    with pytest.raises(KeyError, match=r"resnet\.layer3\.0\.conv2\.weight"):
        wespeaker_graph(lacking, 64)
