"""One vector per window of speech, scaled so that one voice scatters evenly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meet_transcriber.engines.acoustic.features import HOP_SECONDS, Frames

WINDOW_SECONDS = 1.6
STEP_SECONDS = 0.4

_MIN_FRAMES = 50
_MIN_PITCHED = 10
_LOUDEST_SHARE = 0.7  # of a window's frames; the quiet rest says more of the room
_GAP = 0.5  # seconds of silence that a window does not reach across
_KEPT_VARIANCE = 0.7  # of neighbouring windows, those that differ least have one speaker

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """
    Attributes:
        starts, ends: (n,) first and last-plus-one frame of each window.
        vectors: (n, d), whitened: one voice scatters with variance about 1 in every direction.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    vectors: Matrix


def embed(frames: Frames) -> Windows:
    """Describe each window by means and spreads of its cepstra and its pitch."""
    bounds = list(_bounds(frames))
    starts = np.array([start for start, _ in bounds], dtype=np.int64)
    ends = np.array([end for _, end in bounds], dtype=np.int64)
    if not bounds:
        return Windows(starts, ends, np.zeros((0, 1)))
    raw = np.stack([_describe(frames, start, end) for start, end in bounds])
    return Windows(starts, ends, _whitened(raw, starts, ends))


def _bounds(frames: Frames) -> Iterator[tuple[int, int]]:
    """Windows over stretches without a gap, the last one reaching to the end."""
    width, step = round(WINDOW_SECONDS / HOP_SECONDS), round(STEP_SECONDS / HOP_SECONDS)
    edges = np.flatnonzero(np.diff(frames.times) > _GAP) + 1
    for first, last in zip([0, *edges], [*edges, len(frames)], strict=True):
        if last - first < _MIN_FRAMES:
            continue
        start = int(first)
        while start + width < last:
            yield start, start + width
            start += step
        yield max(int(last) - width, int(first)), int(last)


def _describe(frames: Frames, start: int, end: int) -> Matrix:
    window = slice(start, end)
    energy = frames.energy[window]
    loud = energy >= np.quantile(energy, 1 - _LOUDEST_SHARE)
    cepstra = frames.cepstra[window][loud]
    pitched = frames.pitch[window]
    pitched = pitched[pitched > 0]
    pitch = float(np.median(pitched)) if len(pitched) >= _MIN_PITCHED else np.nan
    return np.concatenate(
        [cepstra.mean(axis=0), np.log(cepstra.std(axis=0) + 1e-3), [pitch]]
    ).astype(np.float64)


def _whitened(raw: Matrix, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Matrix:
    """
    Scale by how windows of one voice differ, learnt from neighbours.

    Windows that follow each other mostly have one speaker, so their differences show what
    words do to the features; the largest differences, likely changes of speaker, are left out.
    (Within-class covariance normalization, Hatch 2006, with neighbours in place of labels.)
    """
    pitch = raw[:, -1]
    known = np.isfinite(pitch)
    raw[:, -1] = np.where(known, pitch, np.median(pitch[known]) if known.any() else 0.0)
    centred: Matrix = (raw - raw.mean(axis=0)) / (raw.std(axis=0) + 1e-6)
    stride = round(WINDOW_SECONDS / STEP_SECONDS)
    near = np.arange(len(raw) - stride)
    near = near[starts[near + stride] - ends[near] < round(_GAP / HOP_SECONDS)]
    if len(near) < 2 * centred.shape[1]:
        return centred
    steps = centred[near + stride] - centred[near]
    size = np.sum(np.square(steps), axis=1)
    steps = steps[size <= np.quantile(size, _KEPT_VARIANCE)]
    within = steps.T @ steps / (2 * len(steps))
    within += 0.1 * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    result: Matrix = centred @ (vectors / np.sqrt(values)) @ vectors.T
    return result
