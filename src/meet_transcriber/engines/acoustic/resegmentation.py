"""Exact turn boundaries: a Gaussian mixture per voice and the best path through them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_ROUNDS = 3
_MAX_COMPONENTS = 16
_FRAMES_PER_COMPONENT = 60
_EM_ROUNDS = 6
_VARIANCE_FLOOR = 0.05
_CHANGE_COST = 60.0  # in log likelihood: about half a second of doubt
_CHANGE_COST_AT_PAUSE = 20.0

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def resegment(
    features: Matrix,
    pauses: npt.NDArray[np.bool_],
    labels: Labels,
    voices: int,
    tell: Callable[[float], None],
) -> Labels:
    """
    Return a voice per frame.

    Args:
        features: (n, d) of every frame, each dimension of variance about 1.
        pauses: (n,) whether silence lies before the frame, where changes are likely.
        labels: (n,) first guess; -1 where there is none.
        voices: how many there are; those that lose all frames stay away.
        tell: hears the share done.

    Viterbi segmentation with mixtures trained on its own result, repeated, as in the ICSI
    system (Wooters and Huijbregts 2007), from clusters that are already good.
    """
    costs = np.where(pauses, _CHANGE_COST_AT_PAUSE, _CHANGE_COST)
    for round_ in range(_ROUNDS):
        scores = np.full((len(features), voices), -1e9)
        for voice in range(voices):
            own = features[labels == voice]
            if len(own) >= _FRAMES_PER_COMPONENT:
                scores[:, voice] = _Mixture(own).log_likelihood(features)
        labels = best_path(scores, costs)
        tell((round_ + 1) / _ROUNDS)
    return labels


class _Mixture:
    """A diagonal Gaussian mixture by expectation maximization; deterministic."""

    def __init__(self, data: Matrix) -> None:
        count = int(np.clip(len(data) // _FRAMES_PER_COMPONENT // 4, 1, _MAX_COMPONENTS))
        data = data[:: max(1, len(data) // 20_000)]
        # spread along the main direction, so that no random start is needed
        centred = data - data.mean(axis=0)
        main = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        order = np.argsort(centred @ main)
        groups = np.array_split(order, count)
        self._means = np.stack([data[group].mean(axis=0) for group in groups])
        self._variances = np.tile(np.maximum(data.var(axis=0), _VARIANCE_FLOOR), (count, 1))
        self._weights = np.full(count, 1 / count)
        for _ in range(_EM_ROUNDS):
            self._step(data)

    def _step(self, data: Matrix) -> None:
        joint = self._joint(data)
        share = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
        total = share.sum(axis=0) + 1e-6
        self._means = share.T @ data / total[:, None]
        spread = share.T @ np.square(data) / total[:, None] - np.square(self._means)
        self._variances = np.maximum(spread, _VARIANCE_FLOOR)
        self._weights = total / total.sum()

    def _joint(self, data: Matrix) -> Matrix:
        """(n, components) log of weight times density."""
        inverse = 1 / self._variances
        quadratic = (
            np.square(data) @ inverse.T
            - 2 * data @ (self._means * inverse).T
            + np.sum(np.square(self._means) * inverse, axis=1)
        )
        constant = np.log(self._weights) - 0.5 * np.sum(np.log(2 * np.pi * self._variances), axis=1)
        result: Matrix = constant - 0.5 * quadratic
        return result

    def log_likelihood(self, data: Matrix) -> Matrix:
        """(n,), in blocks so that memory stays bounded."""
        blocks = [data[start : start + 50_000] for start in range(0, len(data), 50_000)]
        return np.concatenate([np.logaddexp.reduce(self._joint(block), axis=1) for block in blocks])


def best_path(scores: Matrix, costs: Matrix) -> Labels:
    """
    Return the states (n,) of the path with the highest score.

    Args:
        scores: (n, states) log likelihood.
        costs: (n,) price of a change of state before each frame.
    """
    paths, _ = best_paths(scores[:, None], costs)
    path: Labels = paths[0]
    return path


def best_paths(scores: Matrix, costs: Matrix) -> tuple[Labels, Matrix]:
    """
    Return the best path (m, n) through each of m sets of scores, and what each scores (m,).

    Args:
        scores: (n, m, states) log likelihood.
        costs: (n,) price of a change of state before each frame, in every set.
    """
    count, many, states = scores.shape
    path = np.zeros((many, count), dtype=np.int64)
    if not count:
        return path, np.zeros(many)
    came_from = np.zeros((count, many * states), dtype=np.int16)
    stay, first = np.arange(states), np.arange(many) * states
    total = scores[0].copy()
    for frame in range(1, count):
        best = np.argmax(total, axis=1)
        change = total.reshape(-1)[first + best][:, None] - costs[frame]
        switch = change > total
        came_from[frame] = np.where(switch, best[:, None], stay).reshape(-1)
        total = np.where(switch, change, total) + scores[frame]
    path[:, -1] = np.argmax(total, axis=1)
    for frame in range(count - 1, 0, -1):
        path[:, frame - 1] = came_from[frame, first + path[:, frame]]
    return path, np.max(total, axis=1)
