"""
Clustering and reconstruction as pyannote.audio does them, step for step.

Hervé Bredin 2023, "pyannote.audio 2.1 speaker diarization pipeline"; numbers are those of the
pipeline speaker-diarization-3.1 on pyannote.audio 4.0.7 (pipelines/clustering.py,
pipelines/speaker_diarization.py, core/inference.py). Given the same scores and embeddings, the
results are the same but for ties. In all that follows `active` is (windows, frames, 3), 1 where
a local speaker of a window talks; `starts` (windows,) seconds at which windows begin; `labels`
(windows, 3) the cluster of each local speaker, NOBODY for none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.scoring import assign as matched
from meet_transcriber.engines.onnx.clustering import centroid_linkage, cut, k_means
from meet_transcriber.engines.onnx.network import Array

NOBODY = -2
ACTIVE_SHARE = 0.2
"""Of a window that a local speaker talks alone, to take part in clustering."""


@dataclass(frozen=True)
class Agglomeration:
    """
    Numbers of the clustering; the defaults are those of speaker-diarization-3.1.

    Attributes:
        threshold: distance of unit centroids above which clusters stay apart.
        smallest: members of the smallest cluster that stands by itself.
        constrained: two speakers of a window are never one.
        most_trained: embeddings that clusters are made of; of more, evenly chosen ones are taken,
            since time and memory grow with the square of their number. None takes all, as
            pyannote.audio does.
    """

    threshold: float = 0.7045654963945799
    smallest: int = 12
    constrained: bool = False
    most_trained: int | None = None


@dataclass(frozen=True)
class Clusters:
    """
    Attributes:
        labels: (windows, 3) int; see above.
        centroids: (clusters, d) means of the embeddings that clusters are made of; not a number
            where there are none.
    """

    labels: Array
    centroids: Array


# -- clusters --------------------------------------------------------------------------------


def train_mask(embeddings: Array, active: Array, share: float = ACTIVE_SHARE) -> Array:
    """Return (windows, 3) bool: whether enough of a local speaker is heard alone."""
    alone = active * (active.sum(axis=2, keepdims=True) == 1)
    found: Array = alone.sum(axis=1) >= share * active.shape[1]
    return found & ~np.isnan(embeddings).any(axis=2)


def training(embeddings: Array, active: Array, most: int | None) -> Array:
    """Return (n, d) the embeddings that clusters are made of, at most `most`, evenly chosen."""
    chosen = np.argwhere(train_mask(embeddings, active))
    if most is not None and len(chosen) > most:
        chosen = chosen[np.linspace(0, len(chosen) - 1, most).astype(int)]
    found: Array = embeddings[chosen[:, 0], chosen[:, 1]]
    return found


def agglomerative(
    embeddings: Array,
    active: Array,
    config: Agglomeration,
    fewest: int | None = None,
    most: int | None = None,
) -> Clusters:
    """
    Return clusters of embeddings (windows, 3, d).

    Args:
        fewest, most: bounds of the number of clusters; equal ones for an exact number. Where no
            cut of the tree leaves as many large clusters, it is the nearest number.
    """
    trained = training(embeddings, active, config.most_trained)
    fewest = max(1, min(len(trained), fewest or 1))
    most = max(1, min(len(trained), most or len(trained)))
    if most == 1:
        return all_in_one(trained, active)
    centroids = centroids_of(trained, agglomerated(trained, config, fewest, most))
    labels = assign(embeddings, centroids, constrained=config.constrained)
    return Clusters(without_silent(labels, active), centroids)


def as_many(
    embeddings: Array, active: Array, wanted: int, most_trained: int | None = None
) -> Clusters:
    """
    Return so many clusters, or one for each embedding where there are fewer, by k-means.

    As community-1 does where its clustering finds another number than was asked for.
    """
    trained = training(embeddings, active, most_trained)
    wanted = min(wanted, len(trained))
    if wanted <= 1:
        return all_in_one(trained, active)
    centroids = centroids_of(trained, k_means(directions(trained), wanted))
    labels = assign(embeddings, centroids, constrained=False)
    return Clusters(without_silent(labels, active), centroids)


def all_in_one(trained: Array, active: Array) -> Clusters:
    """One cluster, of whatever there is."""
    centroid = trained.mean(axis=0) if len(trained) else np.full(trained.shape[1], np.nan)
    labels = np.zeros(active.shape[::2], np.int64)
    return Clusters(without_silent(labels, active), centroid[None])


def without_silent(labels: Array, active: Array) -> Array:
    """The labels with NOBODY where a local speaker never talks in its window."""
    return np.where(active.any(axis=1), labels, NOBODY)


def centroids_of(vectors: Array, labels: Array) -> Array:
    """Return (clusters, d) means; every label from 0 to the highest has a vector."""
    return np.stack([vectors[labels == name].mean(axis=0) for name in range(labels.max() + 1)])


def assign(embeddings: Array, centroids: Array, *, constrained: bool) -> Array:
    """
    Return labels (windows, 3): the closest centroid by cosine.

    With `constrained`, speakers of a window have one each and those left over get NOBODY; an
    embedding that is not a number is as far from every centroid as the farthest.
    """
    close = directions(embeddings) @ directions(centroids).T
    if not constrained:
        nearest: Array = close.argmax(axis=2)
        return nearest
    return one_to_one(np.nan_to_num(close, nan=np.nanmin(close)))


def one_to_one(close: Array) -> Array:
    """Match speakers to clusters, (windows, 3, clusters), for the largest sum in each window."""
    windows, speakers, clusters = close.shape
    lacking = max(speakers - clusters, 0)
    costs = np.pad(-close, ((0, 0), (0, 0), (0, lacking)))
    found = np.array([matched(window) for window in costs.tolist()]).reshape(windows, speakers)
    return np.where(found < clusters, found, NOBODY)


def agglomerated(vectors: Array, config: Agglomeration, fewest: int, most: int) -> Array:
    """Return (n,) labels from 0 of centroid linkage, small clusters joined to large ones."""
    count = len(vectors)
    vectors = directions(vectors)
    smallest = min(config.smallest, max(1, round(0.1 * count)))
    tree = centroid_linkage(vectors)
    labels = cut_in_order(tree, config.threshold)
    large = _large(labels, smallest)
    wanted = min(max(len(large), fewest), most)
    if len(large) != wanted:
        labels = _nearest_cut(tree, config.threshold, smallest, wanted)
        large = _large(labels, smallest)
    return _without_small(vectors, labels, large)


def cut_in_order(tree: Array, threshold: float) -> Array:
    """
    `linkage.cut` with clusters numbered as scipy's fcluster does.

    Numbers decide where votes are equal. fcluster walks down from the root, the branch that was
    made first before the other, and vectors that a branch takes in singly after its branches.
    """
    labels, count = cut(tree, threshold), len(tree) + 1
    branches = [(int(one), int(other)) for one, other in tree[:, :2]]
    waiting, seen = [2 * count - 2], dict[int, None]()
    while waiting:
        name = waiting.pop()
        if name < count:
            seen.setdefault(int(labels[name]))
            continue
        one, other = branches[name - count]
        # the last to be put there is the next to be looked at
        waiting += sorted((one, other), key=lambda branch: (branch >= count, -branch))
    places = np.argsort(list(seen))
    numbered: Array = places[labels]
    return numbered


def directions(vectors: Array) -> Array:
    """The same with length 1, in double precision; zeros become not a number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        vectors = vectors.astype(np.float64)
        scaled: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def _large(labels: Array, smallest: int) -> Array:
    names, sizes = np.unique(labels, return_counts=True)
    found: Array = names[sizes >= smallest]
    return found


def _nearest_cut(tree: Array, threshold: float, smallest: int, wanted: int) -> Array:
    """
    Cut after so many merges that as many large clusters are left as are wanted, or nearly.

    Merges are tried from those at the threshold outwards.
    """
    counts = _large_after(tree, smallest)
    best, off = len(tree), abs(1 - wanted)
    for merge in np.argsort(np.abs(tree[:, 2] - threshold), kind="stable"):
        if tree[merge, 3] < smallest:
            continue
        found = abs(int(counts[merge]) - wanted)
        if found < off:
            best, off = int(merge), found
        if not found:
            break
    ordered = tree.copy()
    ordered[:, 2] = np.arange(len(tree))
    return cut_in_order(ordered, best)


def _large_after(tree: Array, smallest: int) -> Array:
    """(merges,) how many large clusters there are after each merge."""
    first = len(tree) + 1
    is_large = np.concatenate([np.ones(first), tree[:, 3]]) >= smallest
    branches = tree[:, :2].astype(int)
    gained = is_large[first:].astype(int) - is_large[branches].sum(axis=1)
    found: Array = is_large[:first].sum() + np.cumsum(gained)
    return found


def _without_small(vectors: Array, labels: Array, large: Array) -> Array:
    """Labels from 0, each small cluster in the large one whose centroid is closest."""
    if not len(large):
        return np.zeros(len(labels), np.int64)
    names = np.unique(labels)
    middles = {name: vectors[labels == name].mean(axis=0) for name in names}
    targets = directions(np.stack([middles[name] for name in large]))
    for name in np.setdiff1d(names, large):
        labels = np.where(labels == name, large[(targets @ middles[name]).argmax()], labels)
    return np.unique(labels, return_inverse=True)[1]


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
