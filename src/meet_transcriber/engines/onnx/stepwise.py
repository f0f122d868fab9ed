"""
Counting, clustering and reconstruction as pyannote.audio does them, step for step.

Hervé Bredin 2023, "pyannote.audio 2.1 speaker diarization pipeline"; numbers are those of the
pipeline speaker-diarization-3.1 on pyannote.audio 4.0.7 (pipelines/clustering.py,
pipelines/speaker_diarization.py, core/inference.py). `active` is (windows, frames, 3), 1 where a
local speaker of a window talks; `clusters` (windows, 3), -2 for nobody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.onnx.linkage import centroid_linkage, cut
from meet_transcriber.engines.onnx.listening import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    WINDOW_SECONDS,
    first_frame,
)

Array = npt.NDArray[Any]

NOBODY = -2


@dataclass(frozen=True)
class Agglomeration:
    """
    Attributes:
        threshold: distance of unit centroids above which clusters stay apart.
        smallest: members of the smallest cluster that stands by itself.
        active_share: of a window that a speaker talks alone, to take part in clustering.
        constrained: two speakers of a window are never one.
    """

    threshold: float = 0.7045654963945799
    smallest: int = 12
    active_share: float = 0.2
    constrained: bool = False


# -- frames of the recording -----------------------------------------------------------------


def _frame_count(windows: int, step: float) -> int:
    return int(np.rint((WINDOW_SECONDS + (windows - 1) * step) / FRAME_SECONDS)) + 1


def _summed(parts: Array, step: float) -> Array:
    """Overlap-add: (windows, frames, n) to (frames of the recording, n)."""
    windows, frames, columns = parts.shape
    total = np.zeros((_frame_count(windows, step), columns), np.float32)
    for window, part in enumerate(parts):
        first = first_frame(window * step)
        total[first : first + frames] += part
    return total


def counted(active: Array, step: float) -> Array:
    """Return (frames,) int: how many talk at once, the mean over the windows, half to even."""
    speaking = active.sum(axis=2, keepdims=True)
    covering = _summed(np.ones_like(speaking), step)
    mean = _summed(speaking, step) / np.maximum(covering, np.float32(1e-12))
    found: Array = np.rint(mean[:, 0]).astype(np.int64)
    return found


def reconstructed(active: Array, clusters: Array, count: Array, step: float) -> Array:
    """
    Return (frames, clusters) bool: the `count` clusters with the most windows behind them.

    There are more columns than clusters where more people talk at once than there are.
    """
    columns = int(clusters.max()) + 1
    merged = np.zeros((*active.shape[:2], columns), np.float32)
    for window, speaker in zip(*np.nonzero(clusters != NOBODY), strict=True):
        column = merged[window, :, clusters[window, speaker]]
        np.maximum(column, active[window, :, speaker], out=column)
    votes = _summed(merged, step)
    missing = max(0, int(count.max(initial=0)) - columns)
    votes = np.pad(votes, ((0, 0), (0, missing)))
    places = np.argsort(-votes, axis=1, kind="stable")
    found = np.zeros(votes.shape, bool)
    np.put_along_axis(found, places, np.arange(votes.shape[1]) < count[:, None], axis=1)
    return found


def stretches(talking: Array) -> Iterator[tuple[float, float, int]]:
    """Yield start, end and column of each stretch; from middles of frames to middles of frames."""
    last = len(talking) - 1
    for column, spoken in enumerate(talking.T):
        edges = np.flatnonzero(np.diff(np.r_[False, spoken, False].astype(np.int8)))
        for first, end in edges.reshape(-1, 2):
            if (stop := min(int(end), last)) > first:
                yield _middle(int(first)), _middle(stop), column


def _middle(frame: int) -> float:
    return frame * FRAME_SECONDS + FIRST_FRAME_SECONDS


# -- clusters --------------------------------------------------------------------------------


def clustered(
    embeddings: Array,
    active: Array,
    config: Agglomeration,
    fewest: int | None = None,
    most: int | None = None,
) -> Array:
    """
    Return clusters (windows, 3) of embeddings (windows, 3, size); nobody is NOBODY.

    Args:
        fewest, most: bounds of the number of clusters; equal ones for an exact number.
    """
    training = embeddings[_tells(embeddings, active, config.active_share)]
    least = max(1, min(len(training), fewest or 1))
    limit = max(1, min(len(training), most or len(training)))
    found = np.zeros(active.shape[::2], np.int64)
    if limit > 1:
        centroids = _centroids(training, agglomerated(training, config, least, limit))
        found = assigned(embeddings, centroids, constrained=config.constrained)
    found[active.sum(axis=1) == 0] = NOBODY
    return found


def _tells(embeddings: Array, active: Array, share: float) -> Array:
    """(windows, 3) bool: whether enough of a local speaker is heard alone."""
    alone = active * (active.sum(axis=2, keepdims=True) == 1)
    found: Array = alone.sum(axis=1) >= share * active.shape[1]
    return found & ~np.isnan(embeddings).any(axis=2)


def _centroids(vectors: Array, labels: Array) -> Array:
    return np.stack([vectors[labels == name].mean(axis=0) for name in range(labels.max() + 1)])


def assigned(embeddings: Array, centroids: Array, *, constrained: bool) -> Array:
    """Return (windows, 3): the closest centroid by cosine, one to one where `constrained`."""
    close = _unit(embeddings) @ _unit(centroids).T
    if not constrained:
        nearest: Array = close.argmax(axis=2)
        return nearest
    close = np.nan_to_num(close, nan=np.nanmin(close) - 1)  # who is not heard comes last
    return np.stack([_one_to_one(window) for window in close])


def _one_to_one(close: Array) -> Array:
    """
    Match rows to columns for the largest sum; rows that are left over get NOBODY.

    Some best match gives each row one of its n best columns, n the number of rows.
    """
    rows, columns = close.shape
    if columns < rows:
        found = np.full(rows, NOBODY)
        for column, row in enumerate(_one_to_one(close.T)):
            found[row] = column
        return found
    best = np.argsort(-close, axis=1, kind="stable")[:, :rows]
    choices = (choice for choice in product(*best) if len(set(choice)) == rows)
    return np.array(max(choices, key=lambda choice: sum(close[range(rows), choice])))


def agglomerated(vectors: Array, config: Agglomeration, fewest: int, most: int) -> Array:
    """Return (n,) labels from 0 of centroid linkage, small clusters joined to large ones."""
    count = len(vectors)
    if count == 1:
        return np.zeros(1, np.int64)
    vectors = _unit(vectors)
    smallest = min(config.smallest, max(1, round(0.1 * count)))
    tree = centroid_linkage(vectors)
    labels = cut(tree, config.threshold)
    large = _large(labels, smallest)
    wanted = min(max(len(large), fewest), most)
    if len(large) != wanted:
        labels = _nearest_cut(tree, config.threshold, smallest, wanted)
        large = _large(labels, smallest)
    return _without_small(vectors, labels, large)


def _large(labels: Array, smallest: int) -> Array:
    names, sizes = np.unique(labels, return_counts=True)
    found: Array = names[sizes >= smallest]
    return found


def _nearest_cut(tree: Array, threshold: float, smallest: int, wanted: int) -> Array:
    """
    Cut after so many merges that as many large clusters are left as are wanted, or nearly.

    Merges are tried from those at the threshold outwards.
    """
    ordered = tree.copy()
    ordered[:, 2] = np.arange(len(tree))
    best, off = len(tree), abs(1 - wanted)
    for merge in np.argsort(np.abs(tree[:, 2] - threshold), kind="stable"):
        if tree[merge, 3] < smallest:
            continue
        found = abs(len(_large(cut(ordered, merge), smallest)) - wanted)
        if found < off:
            best, off = int(merge), found
        if not found:
            break
    return cut(ordered, best)


def _without_small(vectors: Array, labels: Array, large: Array) -> Array:
    """Labels from 0, each small cluster in the large one whose centroid is closest."""
    if not len(large):
        return np.zeros(len(labels), np.int64)
    names = np.unique(labels)
    middles = {name: vectors[labels == name].mean(axis=0) for name in names}
    targets = _unit(np.stack([middles[name] for name in large]))
    for name in np.setdiff1d(names, large):
        labels = np.where(labels == name, large[(targets @ middles[name]).argmax()], labels)
    return np.unique(labels, return_inverse=True)[1]


# -- community-1: a mixture of speakers in the space of a PLDA ---------------------------------


@dataclass(frozen=True)
class Plda:
    """
    Embeddings to a space where one speaker's have the identity as covariance.

    Attributes:
        centre, middle: (size,) and (reduced,), taken off before and after `lda` (size, reduced).
        mean, transform: (reduced,) and (reduced, reduced), sorted by `between`.
        between: (reduced,) variance between speakers.
    """

    centre: Array
    lda: Array
    middle: Array
    mean: Array
    transform: Array
    between: Array

    @classmethod
    def of(cls, xvector: Mapping[str, Array], plda: Mapping[str, Array]) -> "Plda":
        """From the contents of community-1's `xvec_transform.npz` and `plda.npz`."""
        transform, between = _diagonalized(plda["tr"], plda["psi"])
        parts = (xvector["mean1"], xvector["lda"], xvector["mean2"], plda["mu"])
        return cls(*parts, transform, between)

    def __call__(self, embeddings: Array) -> Array:
        """(n, size) to (n, reduced)."""
        size, reduced = self.lda.shape
        found = np.sqrt(size) * _unit(embeddings - self.centre) @ self.lda - self.middle
        features: Array = (np.sqrt(reduced) * _unit(found) - self.mean) @ self.transform.T
        return features


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
    Attributes:
        threshold: of the clusters that it starts from.
        evidence, regularization: Fa and Fb of Landini et al. 2022 ("VBx").
        rounds, gain: it ends after so many rounds, or when one gains less.
        sureness: how much the first clusters are believed.
        least: share of a speaker that stays.
        active_share: of a window that a speaker talks alone, to take part in clustering.
    """

    threshold: float = 0.6
    evidence: float = 0.07
    regularization: float = 0.8
    rounds: int = 20
    gain: float = 1e-4
    sureness: float = 7.0
    least: float = 1e-7
    active_share: float = 0.2


def mixture_clustered(
    embeddings: Array,
    active: Array,
    plda: Plda,
    config: Mixture,
    fewest: int | None = None,
    most: int | None = None,
) -> Array:
    """
    Return clusters as `clustered` does; two speakers of a window are never one.

    Where the mixture leaves too few or too many, pyannote.audio runs k-means with random starts;
    here the tree of centroids is cut instead.
    """
    training = embeddings[_tells(embeddings, active, config.active_share)]
    found = np.zeros(active.shape[::2], np.int64)
    if len(training) > 1:
        centroids = mixed(training, plda, config)
        wanted = min(max(len(centroids), fewest or 1), most or len(centroids), len(training))
        if is_free := wanted == len(centroids):
            silent = active.sum(axis=1) == 0
            embeddings = embeddings * np.where(silent, np.nan, 1)[..., None]
        else:
            tree = Agglomeration(config.threshold, smallest=1)
            centroids = _centroids(training, agglomerated(training, tree, wanted, wanted))
        found = assigned(embeddings, centroids, constrained=is_free)
    found[active.sum(axis=1) == 0] = NOBODY
    return found


def mixed(embeddings: Array, plda: Plda, config: Mixture) -> Array:
    """Return (speakers, size) centroids of (n, size) embeddings, n at least 2."""
    labels = cut(centroid_linkage(_unit(embeddings)), config.threshold)
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


_LOG_2PI = float(np.log(2 * np.pi))


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Array = powers / powers.sum(axis=1, keepdims=True)
    return found


def _unit(vectors: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled
