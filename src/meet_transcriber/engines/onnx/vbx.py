"""
The clustering of pyannote's community-1: a mixture of speakers in the space of a PLDA.

Landini et al. 2022, "Bayesian HMM clustering of x-vector sequences (VBx)", without its
transitions; numbers are those of speaker-diarization-community-1 on pyannote.audio 4.0.7
(pipelines/clustering.py, utils/vbx.py, core/plda.py). Arrays are named as in `stepwise`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.onnx.clustering import centroid_linkage
from meet_transcriber.engines.onnx.stepwise import (
    Clusters,
    all_in_one,
    as_many,
    cut_in_order,
    directions,
    one_to_one,
    training,
    without_silent,
)

Array = npt.NDArray[Any]

PLDA_FILES = ("xvec_transform.npz", "plda.npz")
"""What the folder of community-1's PLDA holds."""

_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Plda:
    """
    Embeddings to a space where one speaker's have the identity as covariance.

    Attributes:
        centre, middle: (size,) and (reduced,), taken off before and after `lda` (size, reduced).
        mean, transform: (reduced,) and (reduced, reduced), sorted by `between`.
        between: (reduced,) variance between speakers, falling.
    """

    centre: Array
    lda: Array
    middle: Array
    mean: Array
    transform: Array
    between: Array

    @classmethod
    def of(cls, xvector: Mapping[str, Array], plda: Mapping[str, Array]) -> "Plda":
        """
        From the contents of community-1's `xvec_transform.npz` and `plda.npz`.

        Raises:
            KeyError: an array is missing.
            ValueError: one has a shape that the others do not fit.
        """
        transform, between = _diagonalized(plda["tr"], plda["psi"])
        found = cls(
            xvector["mean1"], xvector["lda"], xvector["mean2"], plda["mu"], transform, between
        )
        found(np.ones((1, len(found.lda))))  # shapes that do not fit are found here
        return found

    def __call__(self, embeddings: Array) -> Array:
        """(n, size) to (n, reduced)."""
        size, reduced = self.lda.shape
        found = np.sqrt(size) * directions(embeddings - self.centre) @ self.lda - self.middle
        features: Array = (np.sqrt(reduced) * directions(found) - self.mean) @ self.transform.T
        return features


def read_plda(folder: Path) -> Plda:
    """
    Read the PLDA in a folder; nothing in its files is run.

    Raises:
        EngineUnavailable: a file is missing or damaged.
    """
    try:
        contents = []
        for name in PLDA_FILES:
            with (folder / name).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                contents.append({key: file[key] for key in file.files})
        return Plda.of(*contents)
    except (OSError, ValueError, KeyError, BadZipFile, np.linalg.LinAlgError) as error:
        raise EngineUnavailable(
            f"{folder} holds no PLDA of speaker-diarization-community-1: {error}."
        ) from error


def _diagonalized(transform: Array, between: Array) -> tuple[Array, Array]:
    """Solve for directions in which both covariances are diagonal, the largest first."""
    inside = np.linalg.inv(transform.T @ transform)
    across = np.linalg.inv((transform.T / between) @ transform)
    half = np.linalg.inv(np.linalg.cholesky(inside))
    values, vectors = np.linalg.eigh(half @ across @ half.T)
    return (vectors.T @ half)[::-1], values[::-1]


@dataclass(frozen=True)
class Mixture:
    """
    Numbers of the clustering; the defaults are those of speaker-diarization-community-1.

    Attributes:
        threshold: of the clusters that it starts from.
        evidence, regularization: Fa and Fb of Landini et al.
        rounds, gain: it ends after so many rounds, or when one gains less.
        sureness: how much the first clusters are believed.
        least: share of all embeddings of a speaker that stays.
        most_trained: see `stepwise.Agglomeration`.
    """

    threshold: float = 0.6
    evidence: float = 0.07
    regularization: float = 0.8
    rounds: int = 20
    gain: float = 1e-4
    sureness: float = 7.0
    least: float = 1e-7
    most_trained: int | None = None


def vbx(
    embeddings: Array,
    active: Array,
    plda: Plda,
    config: Mixture,
    fewest: int | None = None,
    most: int | None = None,
) -> Clusters:
    """
    Return clusters of embeddings (windows, 3, d); two speakers of a window are never one.

    Args:
        fewest, most: bounds of the number of clusters, equal ones for an exact number. Where the
            mixture keeps fewer or more, k-means makes as many as that, and then two speakers of
            a window may be one.
    """
    trained = training(embeddings, active, config.most_trained)
    if len(trained) <= 1:
        return all_in_one(trained, active)
    centroids = mixture(trained, plda, config)
    wanted = min(max(len(centroids), fewest or 1), most or len(trained), len(trained))
    if wanted != len(centroids):
        return as_many(embeddings, active, wanted, config.most_trained)
    close = directions(embeddings) @ directions(centroids).T
    close[~active.any(axis=1)] = np.nanmin(close) - 1  # the silent ones come last
    labels = one_to_one(np.nan_to_num(close, nan=np.nanmin(close)))
    return Clusters(without_silent(labels, active), centroids)


def mixture(embeddings: Array, plda: Plda, config: Mixture) -> Array:
    """Return (speakers, d) centroids of (n, d) embeddings, n at least 2."""
    labels = cut_in_order(centroid_linkage(directions(embeddings)), config.threshold)
    first = config.sureness * (labels[:, None] == np.arange(labels.max() + 1))
    shares = _responsibilities(plda(embeddings), plda.between, _softmax(first), config)
    kept = shares[:, shares.mean(axis=0) > config.least]
    centroids: Array = kept.T @ embeddings / kept.sum(axis=0)[:, None]
    return centroids


def _responsibilities(features: Array, between: Array, shares: Array, config: Mixture) -> Array:
    """Variational Bayes without transitions: (n, speakers), each row sums to 1."""
    ratio = config.evidence / config.regularization
    noise = -0.5 * (np.square(features).sum(axis=1, keepdims=True) + _LOG_2PI * len(between))
    weighted, bound = features * np.sqrt(between), -np.inf
    prior = np.full(shares.shape[1], 1 / shares.shape[1])
    for _ in range(config.rounds):
        spread = 1 / (1 + ratio * shares.sum(axis=0)[:, None] * between)
        place = ratio * spread * (shares.T @ weighted)
        fit = weighted @ place.T - 0.5 * (spread + np.square(place)) @ between + noise
        scores = config.evidence * fit + np.log(prior + 1e-8)
        likelihood = np.logaddexp.reduce(scores, axis=1)
        shares = np.exp(scores - likelihood[:, None])
        prior = shares.sum(axis=0) / shares.sum()
        speakers = np.sum(np.log(spread) - spread - np.square(place) + 1)
        before, bound = bound, likelihood.sum() + 0.5 * config.regularization * speakers
        if bound - before < config.gain:
            break
    return shares


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Array = powers / powers.sum(axis=1, keepdims=True)
    return found
