"""Voices of a short recording, added one by one: it has too few windows for a tree."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.acoustic.resegmentation import best_paths

_UNIT_FRAMES = 10  # the smallest piece of a turn: 0.1 s
_MIN_FRAMES = 100  # that a voice needs for its covariance
_VARIANCE_FLOOR = 0.2
_BLOCK_UNITS = 20  # a voice is first looked for in 2 s of speech
_MAX_BLOCKS = 15  # longer recordings have longer blocks, not more
_ROUNDS = 12
_CHANGE_COST = 200.0  # in log likelihood; less splits one voice by its sounds
_CHANGE_COST_AT_PAUSE = 20.0
_MIN_GAIN = 1.3  # times BIC's price, which takes frames for independent

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Units:
    """
    Attributes:
        counts: (u,) frames of each unit.
        sums, squares: (u, d) and (u, d * d) over those frames.
        costs: (u,) price of a change of voice before each unit.
    """

    counts: Labels
    sums: Matrix
    squares: Matrix
    costs: Matrix

    def __len__(self) -> int:
        return len(self.counts)


def grow(features: Matrix, pauses: npt.NDArray[np.bool_], fewest: int, most: int) -> Labels:
    """
    Return a voice per frame.

    From one voice for all, another is added where it helps most, while the likelihood gains
    more than the voice costs (evolutive HMM, Meignier 2001, with one full Gaussian per voice;
    its price by the Bayesian information criterion, Chen and Gopalakrishnan 1998).

    Args:
        features: (n, d) of every frame, each dimension of variance about 1.
        pauses: (n,) whether silence lies before the frame, where changes are likely.
        fewest, most: voices; there are fewer than `fewest` where too little is said.
    """
    units = _units(features, pauses)
    (best,), (score,) = _refined(units, np.zeros((1, len(units)), dtype=np.int64), 1)
    parameters = features.shape[1] * (features.shape[1] + 3) / 2
    price = _MIN_GAIN * 0.5 * parameters * np.log(len(features))
    for voices in range(1, most):
        starts = list(_starts(best, voices))
        if not starts:
            break
        paths, scores = _refined(units, np.stack(starts), voices + 1)
        scores[~_all_speak(units, paths, voices + 1)] = -np.inf
        found = int(np.argmax(scores))
        gain = scores[found] - score
        if not np.isfinite(gain) or (voices >= fewest and gain < price):
            break
        best, score = paths[found], scores[found]
    return np.repeat(best, units.counts)


def _units(features: Matrix, pauses: npt.NDArray[np.bool_]) -> _Units:
    """Up to ten frames each, none across a pause."""
    places = np.arange(len(features))
    since = places - np.maximum.accumulate(np.where(pauses, places, 0))
    starts = np.flatnonzero(since % _UNIT_FRAMES == 0)
    squares = (features[:, :, None] * features[:, None, :]).reshape(len(features), -1)
    return _Units(
        np.diff(starts, append=len(features)),
        np.add.reduceat(features, starts),
        np.add.reduceat(squares, starts),
        np.where(pauses[starts], _CHANGE_COST_AT_PAUSE, _CHANGE_COST),
    )


def _starts(path: Labels, voices: int) -> Iterator[Labels]:
    """Each pair of blocks of one voice, as first guesses at two; its other units are open."""
    for voice in range(voices):
        own = np.flatnonzero(path == voice)
        blocks = np.array_split(own, min(len(own) // _BLOCK_UNITS, _MAX_BLOCKS) or 1)
        for place, one in enumerate(blocks):
            for other in blocks[:place]:
                start = np.where(path == voice, -1, path)
                start[one], start[other] = voice, voices
                yield start


def _refined(units: _Units, paths: Labels, voices: int) -> tuple[Labels, Matrix]:
    """(starts, u) paths, each trained on its own result until it stays, and their likelihoods."""
    scores = np.zeros(len(paths))
    for _ in range(_ROUNDS):
        before = paths
        paths, scores = best_paths(_log_likelihoods(units, paths, voices), units.costs)
        if np.array_equal(paths, before):
            break
    return paths, scores


def _log_likelihoods(units: _Units, paths: Labels, voices: int) -> Matrix:
    """(u, starts, voices) of each unit under the Gaussian of each voice, up to a constant."""
    own = (paths[:, None, :] == np.arange(voices)[:, None]).astype(np.float64)
    counts, size = own @ units.counts, units.sums.shape[1]
    frames = np.maximum(counts, 1)[..., None]
    means = own @ units.sums / frames
    moments = (own @ units.squares / frames).reshape(*counts.shape, size, size)
    spread = moments - means[..., :, None] * means[..., None, :] + _VARIANCE_FLOOR * np.eye(size)
    precisions = np.linalg.inv(spread)
    pulls = np.einsum("...ij,...j->...i", precisions, means)
    constants = np.linalg.slogdet(spread)[1] + np.sum(pulls * means, axis=-1)
    distances = precisions.reshape(*counts.shape, -1) @ units.squares.T - 2 * pulls @ units.sums.T
    result = -0.5 * (distances + constants[..., None] * units.counts)
    result[counts < _MIN_FRAMES] = -1e9
    return np.ascontiguousarray(np.moveaxis(result, -1, 0))


def _all_speak(units: _Units, paths: Labels, voices: int) -> npt.NDArray[np.bool_]:
    """(starts,) whether every voice of a path says enough."""
    own = paths[:, None, :] == np.arange(voices)[:, None]
    return np.asarray(np.all(own @ units.counts >= _MIN_FRAMES, axis=1))
