"""
The networks compute what torch computes; tests/golden/speakers is from there.

`scripts.make_speaker_goldens` made it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.onnx.embeddings import (
    Campplus,
    campplus_graph,
    campplus_head,
    fbank,
    l2_normalize,
)
from meet_transcriber.engines.onnx.network import read_checkpoint
from meet_transcriber.engines.onnx.speaker_segmentation import (
    POWERSET,
    Segmentation,
    segmentation_graph,
)
from tests.simulated.voices import network_chunks, network_windows
from tests.unit.engines.onnx.checkpoints import small

pytestmark = pytest.mark.xdist_group("speaker networks")  # loaded once, by one worker

Array = npt.NDArray[Any]
Weights = dict[str, Array]
GOLDEN = Path(__file__).parents[2] / "golden" / "speakers" / "networks.npz"


@pytest.fixture(scope="module")
def golden() -> Iterator[Any]:
    with np.load(GOLDEN) as file:
        yield file


@pytest.fixture(scope="module")
def windows() -> Array:
    return network_windows()


def _embedding(network: Campplus, audio: Array) -> Array:
    """One embedding of all frames."""
    trunk = network.trunk(audio)
    whole: Array = network.head(trunk.mean(axis=0)[None], trunk.std(axis=0, ddof=1)[None])[0]
    return whole


def _embeddings(network: Campplus) -> Array:
    return np.stack([_embedding(network, chunk) for chunk in network_chunks()])


def test_segmentation_classes_are_those_of_torch(
    segmentation: Segmentation, golden: Any, windows: Array
) -> None:
    different = segmentation.classes(windows) != golden["classes"]
    assert different.size > 5000
    assert different.sum() <= 1
    close = np.zeros_like(different)
    close[tuple(golden["close"].T)] = True  # two classes within 0.001
    assert not (different & ~close).any()


def test_the_golden_windows_contain_all_classes(golden: Any) -> None:
    assert set(golden["classes"].ravel()) == set(range(len(POWERSET)))


def test_scores_are_those_of_torch(segmentation: Segmentation, golden: Any, windows: Array) -> None:
    scores = segmentation.scores(windows)[:, ::59]
    np.testing.assert_allclose(scores, golden["scores"], atol=3e-4)
    np.testing.assert_allclose(np.exp(scores).sum(axis=2), 1, atol=1e-5)


def test_windows_are_independent(segmentation: Segmentation, windows: Array) -> None:
    alone = np.concatenate([segmentation.scores(window[None]) for window in windows[:3]])
    np.testing.assert_allclose(alone, segmentation.scores(windows[:3]), atol=1e-4)


def test_embeddings_are_those_of_torch(campplus: Campplus, golden: Any) -> None:
    np.testing.assert_allclose(_embeddings(campplus), golden["embeddings"], atol=1e-4)


def test_chunks_are_independent(campplus: Campplus) -> None:
    chunks = network_chunks()[:2]
    chunks[:, [*range(400), *range(-400, 0)]] = 0  # a frame at an edge sees 7.5 ms of the other
    alone = np.concatenate([campplus.trunk(chunk) for chunk in chunks])
    np.testing.assert_allclose(campplus.trunk(chunks.ravel()), alone, atol=1e-4)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 200), (64_000, 200), (64_001, 400)])
def test_the_last_chunk_is_padded(campplus: Campplus, samples: int, frames: int) -> None:
    trunk = campplus.trunk(np.zeros(samples, np.float32))
    assert trunk.shape == (frames, campplus.features)
    assert np.isfinite(trunk).all()


def test_a_low_and_a_high_voice_differ(campplus: Campplus) -> None:
    low, high, *_ = _embeddings(campplus)
    halves = [_embedding(campplus, chunk[32_000:]) for chunk in network_chunks()[:2]]
    assert low @ halves[0] > low @ halves[1]
    assert high @ halves[1] > high @ halves[0]


# --- weights of 32 bits -----------------------------------------------------------------


def _halved(weights: Weights) -> Weights:
    """Round weights to 16 bits."""
    return {
        name: value.astype(np.float16).astype(np.float32) if value.dtype == np.float32 else value
        for name, value in weights.items()
    }


def _run(graph: bytes, value: Array) -> Array:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: value})
    return np.asarray(found)


def _embeddings_of(weights: Weights) -> Array:
    features = np.stack([fbank(np.pad(chunk, (120, 120))) for chunk in network_chunks()])
    features -= features.mean(axis=1, keepdims=True)
    trunk = _run(campplus_graph(weights, 400), features)
    pooled = np.concatenate([trunk.mean(axis=2), trunk.std(axis=2, ddof=1)], axis=1)
    return l2_normalize(campplus_head(weights, pooled))


def test_embeddings_of_16_bits_are_off_a_hundred_times_as_far(
    checkpoints: tuple[Path, Path], golden: Any
) -> None:
    """Variances of its batch norms are below 2^-14, where 16 bits lose digits."""
    weights = read_checkpoint(checkpoints[1])
    variances = np.concatenate([v for name, v in weights.items() if name.endswith("running_var")])
    assert variances.min() < 2**-14
    whole, half = (
        np.abs(_embeddings_of(each) - golden["embeddings"]).max()
        for each in (weights, _halved(weights))
    )
    assert half > 100 * whole


def test_segmentation_in_16_bits_finds_other_speakers(
    checkpoints: tuple[Path, Path], golden: Any, windows: Array
) -> None:
    """So weights are kept as published, 33 MB in 32 bits."""
    weights = read_checkpoint(checkpoints[0])
    whole, half = (
        _run(segmentation_graph(each), windows[:, None]) for each in (weights, _halved(weights))
    )
    assert np.abs(half[:, ::59] - golden["scores"]).max() > 0.01
    assert np.abs(whole[:, ::59] - golden["scores"]).max() < 3e-4
    assert (half.argmax(axis=2) != golden["classes"]).sum() > 20
    assert (whole.argmax(axis=2) != golden["classes"]).sum() <= 1


def test_16_bits_hold_every_weight(checkpoints: tuple[Path, Path]) -> None:
    """Precision is lost, not range."""
    for path in checkpoints:
        weights = [v for v in read_checkpoint(path).values() if v.dtype == np.float32]
        assert max(np.abs(value).max() for value in weights) < np.finfo(np.float16).max


# --- the files --------------------------------------------------------------------------


def test_the_graphs_are_the_same_bytes_each_time(checkpoints: tuple[Path, Path]) -> None:
    for path, build in zip(checkpoints, (segmentation_graph, _campplus), strict=True):
        assert build(read_checkpoint(path)) == build(read_checkpoint(path))


def _campplus(weights: Weights) -> bytes:
    return campplus_graph(weights, 400)


@pytest.mark.parametrize("network", [Segmentation, Campplus])
def test_a_checkpoint_of_another_network_is_refused(
    checkpoints: tuple[Path, Path], tmp_path: Path, network: Callable[[Path], object]
) -> None:
    other = checkpoints[1] if network is Segmentation else checkpoints[0]
    for path in (other, small(tmp_path / "small.bin")):
        with pytest.raises(EngineUnavailable, match="is a checkpoint of another network"):
            network(path)
