"""
Compute goldens of the step-for-step method and of WeSpeaker's network with pyannote.audio.

    .venv-pyannote/bin/python -m scripts.make_stepwise_goldens

Both files are in tests/golden/speakers: `stepwise.npz` has windows of three people with what
pyannote.audio's own classes make of them, `wespeaker.npz` a network of a few channels with what
torch says. tests/deploy/pyannote compares many more, and larger ones.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.pyannote.loader import import_library

import_library()

import torch  # noqa: E402 - imported with our care
from pyannote.audio.core.plda import PLDA  # noqa: E402
from pyannote.audio.models.embedding.wespeaker.resnet import BasicBlock, ResNet  # noqa: E402
from pyannote.audio.pipelines import SpeakerDiarization  # noqa: E402
from pyannote.audio.pipelines.clustering import AgglomerativeClustering, VBxClustering  # noqa: E402
from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin  # noqa: E402
from pyannote.core import SlidingWindow, SlidingWindowFeature  # noqa: E402

Array = npt.NDArray[Any]

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "speakers"
HINTS: Mapping[str, tuple[int | None, int | None]] = {
    "free": (None, None),
    "two": (2, 2),
    "five": (5, 5),
    "one_at_most": (None, 1),
    "four_at_least": (4, None),
}
_FRAMES = 589
_SIZE = 16
_REDUCED = 12
_WINDOWS = 30


def main(folder: Path = GOLDEN) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "stepwise.npz", **_stepwise(np.random.default_rng(5)))
    np.savez_compressed(folder / "wespeaker.npz", **_wespeaker(np.random.default_rng(6)))


def _stepwise(draw: np.random.Generator) -> dict[str, Any]:
    who = np.argsort(draw.random((_WINDOWS, 3)), axis=1)
    active = _active(draw, who)
    directions = draw.standard_normal((3, _SIZE))
    noise = draw.standard_normal((_WINDOWS, 3, _SIZE)) * 0.45
    embeddings = (directions[who] + noise).astype(np.float16).astype(np.float32)
    plda = _plda(draw)
    found: dict[str, Any] = {
        "active": np.packbits(active),
        "embeddings": embeddings.astype(np.float16),
        **plda,
    }
    for name, bounds in HINTS.items():
        expected = _expected(active.astype(np.float32), embeddings, bounds)
        found |= {f"{name}_{key}": value for key, value in expected.items()}
        labels, centroids = _mixture(active.astype(np.float32), embeddings, plda, bounds)
        found |= {f"{name}_vbx_labels": labels, f"{name}_vbx_centroids": centroids}
    return found


def _active(draw: np.random.Generator, who: Array) -> Array:
    """(windows, frames, 3) bool: what windows see of stretches of some seconds, not all alike."""
    talking = np.zeros((3, _FRAMES + 60 * _WINDOWS), bool)
    for first in range(0, talking.shape[1], 150):
        talking[draw.integers(0, 3), first : first + draw.integers(60, 260)] = True
    active = np.zeros((_WINDOWS, _FRAMES, 3), bool)
    for window, people in enumerate(who):
        first = int(np.rint(window / 0.016875)) + int(draw.integers(0, 5))
        active[window] = talking[people, first : first + _FRAMES].T
    return active


def _plda(draw: np.random.Generator) -> dict[str, Any]:
    """The arrays of community-1's two files, for small embeddings."""
    lda = np.linalg.qr(draw.standard_normal((_SIZE, _REDUCED)))[0]
    noise = draw.standard_normal((_REDUCED, _REDUCED)) * 0.02
    arrays = {
        "mean1": draw.standard_normal(_SIZE) * 0.05,
        "lda": lda,
        "mean2": draw.standard_normal(_REDUCED) * 0.05,
        "mu": draw.standard_normal(_REDUCED) * 0.05,
        "tr": 6 * (np.eye(_REDUCED) + noise),
        "psi": np.sort(draw.uniform(0.5, 12, _REDUCED))[::-1],
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _expected(
    active: Array, embeddings: Array, bounds: tuple[int | None, int | None]
) -> dict[str, Array]:
    """What the pipeline speaker-diarization-3.1 makes of them."""
    segmentation = _feature(active)
    grid = SlidingWindow(start=0.0, duration=0.0619375, step=0.016875)
    clustering = AgglomerativeClustering(metric="cosine").instantiate(
        {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7045654963945799}
    )
    fewest, most = bounds
    labels, _, centroids = clustering(
        embeddings=embeddings.copy(),
        segmentations=segmentation,
        min_clusters=fewest,
        max_clusters=most,
    )
    labels = _without_silent(labels, active)
    count = SpeakerDiarizationMixin.speaker_count(segmentation, grid, warm_up=(0.0, 0.0))
    found = {"labels": labels, "centroids": centroids, "count": count.data[:, 0].copy()}
    pipeline = SimpleNamespace(to_diarization=SpeakerDiarizationMixin.to_diarization)
    for name, limit in {"every": most or 9, "exclusive": 1}.items():
        count.data = np.minimum(count.data, limit).astype(np.int8)
        talking = SpeakerDiarization.reconstruct(pipeline, segmentation, labels, count)
        found[name] = np.packbits(talking.data.astype(bool))
        found[f"{name}_shape"] = np.array(talking.data.shape)
    return found


def _mixture(
    active: Array,
    embeddings: Array,
    arrays: Mapping[str, Any],
    bounds: tuple[int | None, int | None],
) -> tuple[Array, Array]:
    """Labels and centroids of the pipeline speaker-diarization-community-1."""
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("xvec_transform.npz", "plda.npz")]
        for file in files:
            np.savez(file, **arrays)
        plda = PLDA(*files, lda_dimension=_REDUCED)
    clustering = VBxClustering(plda, metric="cosine")
    labels, _, centroids = clustering.instantiate({"threshold": 0.6, "Fa": 0.07, "Fb": 0.8})(
        embeddings=embeddings.copy(),
        segmentations=_feature(active),
        min_clusters=bounds[0] or 1,
        max_clusters=bounds[1] or np.inf,
    )
    return _without_silent(labels, active), centroids


def _feature(active: Array) -> SlidingWindowFeature:
    return SlidingWindowFeature(active.copy(), SlidingWindow(start=0.0, duration=10.0, step=1.0))


def _without_silent(labels: Array, active: Array) -> Array:
    return np.where(active.any(axis=1), labels, -2).astype(np.int8)


def _wespeaker(draw: np.random.Generator) -> dict[str, Any]:
    """Weights are numbers that half precision has exactly, so that the file stays small."""
    model = ResNet(BasicBlock, [1, 1, 1, 1], 1, feat_dim=80, embed_dim=4, two_emb_layer=False)
    model.eval()
    weights = {name: _drawn(draw, name, value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    features = draw.standard_normal((1, 32, 80)).astype(np.float16).astype(np.float32)
    with torch.inference_mode():
        trunk = model.forward_frames(torch.from_numpy(features)).flatten(1, 2)
        embedding = model(torch.from_numpy(features))[1]
    return {
        "features": features.astype(np.float16),
        "trunk": trunk.numpy(),
        "embedding": embedding.numpy(),
        **{
            f"resnet.{name}": value.astype(np.float16)
            for name, value in weights.items()
            if not name.endswith("num_batches_tracked")
        },
    }


def _drawn(draw: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith(("running_var", "bn1.weight", "bn2.weight", "shortcut.1.weight")):
        values = draw.uniform(0.5, 1.5, shape)
    else:
        values = draw.standard_normal(shape) / np.sqrt(max(int(np.prod(shape[1:])), 1))
    return values.astype(np.float16).astype(np.float32)


if __name__ == "__main__":
    main()
