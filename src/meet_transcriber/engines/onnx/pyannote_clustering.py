"""
Clustering as in pyannote.audio's pipelines: cluster_agglomerative (3.1) and VBx (community-1).

Hervé Bredin 2023, "pyannote.audio 2.1 speaker diarization pipeline"; Landini et al. 2022, "Bayesian
HMM clustering of x-vector sequences (VBx)", without its transitions. Parameters and, except for
ties, results are those of pyannote.audio 4.0.7 (pipelines/clustering.py, utils/vbx.py,
core/plda.py).

Arrays: `embeddings` (windows, 3, d); `active` (windows, frames, 3), 1 where a local speaker of a
window talks; `labels` (windows, 3), the cluster of each local speaker or NO_CLUSTER.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.scoring import assign as match
from meet_transcriber.engines.onnx.clustering import centroid_linkage, cut_tree, k_means
from meet_transcriber.engines.onnx.network import Array

NO_CLUSTER = -2
_ACTIVE_SHARE = 0.2  # of a window in which a local speaker talks alone, to be clustered
# Embeddings that clusters are made of, since time and memory are quadratic; pyannote.audio takes
# all. About as many as an hour has with a window every second; linkage takes some 300 MB.
_MOST_TRAINED = 4000

# speaker-diarization-3.1: config.yaml
_THRESHOLD = 0.7045654963945799  # distance of unit centroids above which they are not merged
_SMALLEST = 12  # members of the smallest cluster that is kept

# speaker-diarization-community-1: config.yaml, and the defaults of pyannote.audio's VBx
_VBX_THRESHOLD = 0.6  # distance for the initial clusters
_EVIDENCE, _REGULARIZATION = 0.07, 0.8  # Fa and Fb of Landini et al.
_MAX_ROUNDS, _MIN_GAIN = 20, 1e-4
_SURENESS = 7.0  # factor for the initial assignment before the softmax
_LEAST_SHARE = 1e-7  # of all embeddings, of a speaker that is kept


@dataclass(frozen=True)
class Clusters:
    """
    Result of clustering.

    Attributes:
        labels: (windows, 3) int; see above.
        centroids: (clusters, d) means of the embeddings that clusters are made of; NaN if none.
    """

    labels: Array
    centroids: Array


def training_mask(embeddings: Array, active: Array) -> Array:
    """Return (windows, 3) bool: whether a local speaker talks alone for long enough."""
    alone = active * (active.sum(axis=2, keepdims=True) == 1)
    found: Array = alone.sum(axis=1) >= _ACTIVE_SHARE * active.shape[1]
    return found & ~np.isnan(embeddings).any(axis=2)


def training_embeddings(embeddings: Array, active: Array, most: int = _MOST_TRAINED) -> Array:
    """Return the embeddings (n, d) that clusters are made of, at most `most`, evenly chosen."""
    chosen = np.argwhere(training_mask(embeddings, active))
    if len(chosen) > most:
        chosen = chosen[np.linspace(0, len(chosen) - 1, most).astype(int)]
    found: Array = embeddings[chosen[:, 0], chosen[:, 1]]
    return found


def cluster_agglomerative(
    embeddings: Array, active: Array, fewest: int | None = None, most: int | None = None
) -> Clusters:
    """
    Cluster as speaker-diarization-3.1.

    Args:
        fewest, most: bounds of the number of clusters, inclusive. If no cut of the tree gives so
            many large clusters, the nearest number is returned.
    """
    vectors = training_embeddings(embeddings, active)
    fewest = max(1, min(len(vectors), fewest or 1))
    most = max(1, min(len(vectors), most or len(vectors)))
    if most == 1:
        return _single_cluster(vectors, active)
    labels = _agglomerate(vectors, fewest, most)
    return _assign_to_centroids(embeddings, active, _compute_centroids(vectors, labels))


def cluster_by_k_means(embeddings: Array, active: Array, wanted: int) -> Clusters:
    """
    Make `wanted` clusters, or one per embedding if there are fewer.

    community-1 does so if its clustering finds another number of clusters than requested.
    """
    vectors = training_embeddings(embeddings, active)
    wanted = min(wanted, len(vectors))
    if wanted <= 1:
        return _single_cluster(vectors, active)
    labels = k_means(_unit_or_nan(vectors), wanted)
    return _assign_to_centroids(embeddings, active, _compute_centroids(vectors, labels))


def _single_cluster(vectors: Array, active: Array) -> Clusters:
    """Put all local speakers into one cluster."""
    centroid = vectors.mean(axis=0) if len(vectors) else np.full(vectors.shape[1], np.nan)
    labels = np.zeros(active.shape[::2], np.int64)
    return Clusters(_mask_silent(labels, active), centroid[None])


def _mask_silent(labels: Array, active: Array) -> Array:
    """Set NO_CLUSTER for local speakers that never talk in their window."""
    return np.where(active.any(axis=1), labels, NO_CLUSTER)


def _compute_centroids(vectors: Array, labels: Array) -> Array:
    """Return means (clusters, d); each label from 0 to the highest must occur."""
    return np.stack([vectors[labels == name].mean(axis=0) for name in range(labels.max() + 1)])


def _assign_to_centroids(embeddings: Array, active: Array, centroids: Array) -> Clusters:
    """Assign all local speakers to the closest centroid by cosine."""
    close = _unit_or_nan(embeddings) @ _unit_or_nan(centroids).T
    return Clusters(_mask_silent(close.argmax(axis=2), active), centroids)


def match_one_to_one(close: Array) -> Array:
    """
    Return labels (windows, 3): distinct clusters with the largest sum of similarities.

    Args:
        close: (windows, 3, clusters); NaN counts as the lowest similarity.
    """
    windows, speakers, clusters = close.shape
    lacking = max(speakers - clusters, 0)
    costs = np.pad(-np.nan_to_num(close, nan=np.nanmin(close)), ((0, 0), (0, 0), (0, lacking)))
    found = np.array([match(window) for window in costs.tolist()]).reshape(windows, speakers)
    return np.where(found < clusters, found, NO_CLUSTER)


def _agglomerate(vectors: Array, fewest: int, most: int) -> Array:
    """Return labels (n,) from 0 by centroid linkage, small clusters joined to large ones."""
    vectors = _unit_or_nan(vectors)
    smallest = min(_SMALLEST, max(1, round(0.1 * len(vectors))))
    tree = centroid_linkage(vectors)
    labels = cut_in_order(tree, _THRESHOLD)
    large = _large(labels, smallest)
    wanted = min(max(len(large), fewest), most)
    if len(large) != wanted:
        labels = _nearest_cut(tree, smallest, wanted)
        large = _large(labels, smallest)
    return _absorb_small(vectors, labels, large)


def cut_in_order(tree: Array, threshold: float) -> Array:
    """
    Cut a tree with `cut_tree`, and number clusters as scipy's fcluster does.

    Equal votes go to the lower number. fcluster descends from the root: the branch that was made
    first, then the other, then single vectors.
    """
    labels, count = cut_tree(tree, threshold), len(tree) + 1
    branches = [(int(one), int(other)) for one, other in tree[:, :2]]
    waiting, seen = [2 * count - 2], dict[int, None]()
    while waiting:
        name = waiting.pop()
        if name < count:
            seen.setdefault(int(labels[name]))
            continue
        one, other = branches[name - count]
        # a stack: the last one is next
        waiting += sorted((one, other), key=lambda branch: (branch >= count, -branch))
    places = np.argsort(list(seen))
    numbered: Array = places[labels]
    return numbered


def _unit_or_nan(vectors: Array) -> Array:
    """Scale vectors (..., d) to length 1 in float64; zero vectors become NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        vectors = vectors.astype(np.float64)
        scaled: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def _large(labels: Array, smallest: int) -> Array:
    names, sizes = np.unique(labels, return_counts=True)
    found: Array = names[sizes >= smallest]
    return found


def _nearest_cut(tree: Array, smallest: int, wanted: int) -> Array:
    """
    Cut the tree after the merge that leaves the number of large clusters closest to `wanted`.

    Merges are tried in order of their distance from the threshold.
    """
    counts = _large_after(tree, smallest)
    best, off = len(tree), abs(1 - wanted)
    for merge in np.argsort(np.abs(tree[:, 2] - _THRESHOLD), kind="stable"):
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
    """Return (merges,) the number of large clusters after each merge."""
    first = len(tree) + 1
    is_large = np.concatenate([np.ones(first), tree[:, 3]]) >= smallest
    branches = tree[:, :2].astype(int)
    gained = is_large[first:].astype(int) - is_large[branches].sum(axis=1)
    found: Array = is_large[:first].sum() + np.cumsum(gained)
    return found


def _absorb_small(vectors: Array, labels: Array, large: Array) -> Array:
    """Return labels from 0 with each small cluster joined to the closest large one."""
    if not len(large):
        return np.zeros(len(labels), np.int64)
    names = np.unique(labels)
    middles = {name: vectors[labels == name].mean(axis=0) for name in names}
    targets = _unit_or_nan(np.stack([middles[name] for name in large]))
    for name in np.setdiff1d(names, large):
        labels = np.where(labels == name, large[(targets @ middles[name]).argmax()], labels)
    return np.unique(labels, return_inverse=True)[1]


PLDA_FILES = ("xvec_transform.npz", "plda.npz")  # files of community-1's PLDA

_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Plda:
    """
    A projection to a space where the within-speaker covariance is the identity.

    Attributes:
        centre, middle: (size,) and (reduced,), subtracted before and after `lda` (size, reduced).
        mean, transform: (reduced,) and (reduced, reduced), sorted by `between`.
        between: (reduced,) variance between speakers, decreasing.
    """

    centre: Array
    lda: Array
    middle: Array
    mean: Array
    transform: Array
    between: Array

    @classmethod
    def from_arrays(cls, xvector: Mapping[str, Array], plda: Mapping[str, Array]) -> "Plda":
        """
        Create it from the contents of community-1's `xvec_transform.npz` and `plda.npz`.

        Raises:
            KeyError: an array is missing.
            ValueError: the shapes do not fit each other.
        """
        transform, between = _diagonalize(plda["tr"], plda["psi"])
        found = cls(
            xvector["mean1"], xvector["lda"], xvector["mean2"], plda["mu"], transform, between
        )
        found(np.ones((1, len(found.lda))))  # raises ValueError if shapes do not fit
        return found

    def __call__(self, embeddings: Array) -> Array:
        """Project embeddings (n, size) to (n, reduced)."""
        size, reduced = self.lda.shape
        found = np.sqrt(size) * _unit_or_nan(embeddings - self.centre) @ self.lda - self.middle
        features: Array = (np.sqrt(reduced) * _unit_or_nan(found) - self.mean) @ self.transform.T
        return features


def read_plda(folder: Path) -> Plda:
    """
    Read the PLDA in a folder; no code in its files is run.

    Raises:
        EngineUnavailable: a file is missing or damaged.
    """
    try:
        contents = []
        for name in PLDA_FILES:
            with (folder / name).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                contents.append({key: file[key] for key in file.files})
        return Plda.from_arrays(*contents)
    except (OSError, ValueError, KeyError, BadZipFile, np.linalg.LinAlgError) as error:
        raise EngineUnavailable(
            f"{folder} contains no PLDA of speaker-diarization-community-1: {error}."
        ) from error


def _diagonalize(transform: Array, between: Array) -> tuple[Array, Array]:
    """Find directions in which both covariances are diagonal, the largest variance first."""
    inside = np.linalg.inv(transform.T @ transform)
    across = np.linalg.inv((transform.T / between) @ transform)
    half = np.linalg.inv(np.linalg.cholesky(inside))
    values, vectors = np.linalg.eigh(half @ across @ half.T)
    return (vectors.T @ half)[::-1], values[::-1]


def cluster_vbx(
    embeddings: Array, active: Array, plda: Plda, fewest: int | None = None, most: int | None = None
) -> Clusters:
    """
    Cluster as community-1; speakers of a window get different clusters.

    Args:
        fewest, most: bounds of the number of clusters, inclusive. If VBx finds another number,
            k-means is used, and then speakers of a window may get the same cluster.
    """
    vectors = training_embeddings(embeddings, active)
    if len(vectors) <= 1:
        return _single_cluster(vectors, active)
    centroids = _vbx_centroids(vectors, plda)
    wanted = min(max(len(centroids), fewest or 1), most or len(vectors), len(vectors))
    if wanted != len(centroids):
        return cluster_by_k_means(embeddings, active, wanted)
    close = _unit_or_nan(embeddings) @ _unit_or_nan(centroids).T
    close[~active.any(axis=1)] = np.nanmin(close) - 1  # silent speakers are matched last
    return Clusters(_mask_silent(match_one_to_one(close), active), centroids)


def _vbx_centroids(embeddings: Array, plda: Plda) -> Array:
    """Return centroids (speakers, d) of embeddings (n, d), n at least 2."""
    labels = cut_in_order(centroid_linkage(_unit_or_nan(embeddings)), _VBX_THRESHOLD)
    scores = _SURENESS * (labels[:, None] == np.arange(labels.max() + 1))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    first = powers / powers.sum(axis=1, keepdims=True)
    shares = _responsibilities(plda(embeddings), plda.between, first)
    kept = shares[:, shares.mean(axis=0) > _LEAST_SHARE]
    centroids: Array = kept.T @ embeddings / kept.sum(axis=0)[:, None]
    return centroids


def _responsibilities(features: Array, between: Array, shares: Array) -> Array:
    """Run variational Bayes; returns (n, speakers), each row sums to 1."""
    ratio = _EVIDENCE / _REGULARIZATION
    noise = -0.5 * (np.square(features).sum(axis=1, keepdims=True) + _LOG_2PI * len(between))
    weighted, bound = features * np.sqrt(between), -np.inf
    prior = np.full(shares.shape[1], 1 / shares.shape[1])
    for _ in range(_MAX_ROUNDS):
        spread = 1 / (1 + ratio * shares.sum(axis=0)[:, None] * between)
        place = ratio * spread * (shares.T @ weighted)
        fit = weighted @ place.T - 0.5 * (spread + np.square(place)) @ between + noise
        scores = _EVIDENCE * fit + np.log(prior + 1e-8)
        likelihood = np.logaddexp.reduce(scores, axis=1)
        shares = np.exp(scores - likelihood[:, None])
        prior = shares.sum(axis=0) / shares.sum()
        speakers = np.sum(np.log(spread) - spread - np.square(place) + 1)
        before, bound = bound, likelihood.sum() + 0.5 * _REGULARIZATION * speakers
        if bound - before < _MIN_GAIN:
            break
    return shares
