"""Embeddings of a recording's local speakers and short stretches, pooled from one pass."""

from dataclasses import dataclass

import numpy as np

from meet_transcriber.engines.onnx.embeddings import TRUNK_HZ, Embedder
from meet_transcriber.engines.onnx.network import Array
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    FRAMES,
    LOCAL_SPEAKERS,
    WINDOW_SECONDS,
    Activity,
    read_padded,
)
from meet_transcriber.ports.engines import AudioSource, Progress, map_concurrently

SHORT_HOP = 0.1  # seconds between short embeddings, a step
SHORT_SECONDS = 1.5  # audio in a short embedding

_BLOCK_SECONDS = 24  # of trunk at a time, whole chunks
_MIN_ALONE_SECONDS = 0.4  # of one speaker alone; with less, overlapped speech is used too
_STEP_FRAMES = round(SHORT_HOP * TRUNK_HZ)
_REACH = round((SHORT_SECONDS / SHORT_HOP - 1) / 2)  # steps on each side
_FRAME_OF_TRUNK = np.clip(
    np.rint(
        ((np.arange(WINDOW_SECONDS * TRUNK_HZ) + 0.25) / TRUNK_HZ - FIRST_FRAME_SECONDS)
        / FRAME_SECONDS
    ).astype(int),
    0,
    FRAMES - 1,
)
"""The nearest frame of segmentation to each trunk frame of a window."""


@dataclass(frozen=True)
class Embeddings:
    """
    Result of embedding.

    Attributes:
        local: (windows, 3, d) embedding of each local speaker of each window.
        local_seconds: (windows, 3) in which a local speaker talks alone.
        short: (steps, d) embedding of the 1.5 s around each step of 0.1 s.
        short_seconds: (steps,) in which exactly one person talks in those 1.5 s.
    """

    local: Array
    local_seconds: Array
    short: Array
    short_seconds: Array


def embed_recording(
    network: Embedder, audio: AudioSource, activity: Activity, threads: int, progress: Progress
) -> Embeddings:
    """Run the embedding network over all speech and pool its frames."""
    pooler = _Pooler(network, activity, audio.duration)
    starts = np.arange(0.0, max(audio.duration, 1e-3), _BLOCK_SECONDS)
    blocks = (
        read_padded(audio, start, start + _BLOCK_SECONDS if pooler.has_speech(start) else start)
        for start in starts
    )
    for place, trunk in enumerate(map_concurrently(network.trunk, blocks, threads)):
        pooler.add(trunk)
        progress((place + 1) / len(starts))
    return pooler.finish()


class _Pooler:
    """Pools trunks block by block into embeddings of local speakers and short stretches."""

    def __init__(self, network: Embedder, activity: Activity, duration: float) -> None:
        self._network, self._activity = network, activity
        self._steps = int(np.ceil(duration / SHORT_HOP))
        self._spoken = _spoken_blocks(activity)
        self._alone = _is_solo(activity, self._steps * _STEP_FRAMES)
        self._trunk = np.zeros((0, network.features), np.float32)  # frames of unfinished windows
        self._first = 0  # its first frame in the recording
        windows = len(activity.starts)
        dimensions = network.head(*np.zeros((2, 1, network.features), np.float32)).shape[1]
        self._local = np.zeros((windows, LOCAL_SPEAKERS, dimensions), np.float32)
        self._local_seconds = np.zeros((windows, LOCAL_SPEAKERS), np.float32)
        self._pooled = 0  # finished windows
        self._sums = np.zeros((_REACH, 2 * network.features + 1))  # of the last steps
        self._short = np.zeros((self._steps, dimensions), np.float32)
        self._short_seconds = np.zeros(self._steps, np.float32)
        self._embedded = 0  # finished steps

    def has_speech(self, start: float) -> bool:
        """Return whether the block that begins at `start` may have speech."""
        return round(start / _BLOCK_SECONDS) in self._spoken

    def add(self, trunk: Array) -> None:
        """Add the next block; an empty one stands for silence."""
        if not len(trunk):
            trunk = np.zeros((_BLOCK_SECONDS * TRUNK_HZ, self._network.features), np.float32)
        self._sum_steps(trunk, self._first + len(self._trunk))
        self._trunk = np.concatenate([self._trunk, trunk])
        self._finish_windows(self._first + len(self._trunk))

    def finish(self) -> Embeddings:
        """Finish the windows that extend beyond the end and return all embeddings."""
        self._finish_windows(None)
        self._finish_short(np.zeros((_REACH, 2 * self._network.features + 1)))
        return Embeddings(self._local, self._local_seconds, self._short, self._short_seconds)

    def _finish_windows(self, end: int | None) -> None:
        """Pool windows that end by frame `end` and drop the frames that are no longer needed."""
        starts = np.rint(self._activity.starts * TRUNK_HZ).astype(int)
        length = WINDOW_SECONDS * TRUNK_HZ
        while self._pooled < len(starts):
            start, window = starts[self._pooled], self._pooled
            if end is not None and start + length > end:
                break
            trunk = self._trunk[start - self._first : start - self._first + length]
            pooled = self._pool_window(trunk, self._activity.active[window])
            self._local[window], self._local_seconds[window] = pooled
            self._pooled += 1
        wanted = starts[self._pooled] if self._pooled < len(starts) else end or 0
        done = min(max(wanted - self._first, 0), len(self._trunk))
        self._trunk = self._trunk[done:].copy()
        self._first += done

    def _pool_window(self, trunk: Array, active: Array) -> tuple[Array, Array]:
        """Return embeddings (3, d) of a window's local speakers and their seconds alone."""
        spoken = active[_FRAME_OF_TRUNK[: len(trunk)]].astype(np.float32)
        alone = spoken * (spoken.sum(axis=1, keepdims=True) == 1)
        seconds = alone.sum(axis=0) / TRUNK_HZ
        masks = np.where(seconds >= _MIN_ALONE_SECONDS, alone, spoken).T
        sums = masks @ trunk, masks @ np.square(trunk), masks.sum(axis=1)
        return self._embed(*sums), seconds

    def _sum_steps(self, trunk: Array, first: int) -> None:
        """Sum the frames of each step in which one person talks alone."""
        mask = np.zeros((len(trunk), 1), np.float32)
        part = self._alone[first : first + len(trunk)]
        mask[: len(part), 0] = part
        masked = trunk * mask
        stacked = np.concatenate([masked, masked * trunk, mask], axis=1)
        self._finish_short(stacked.reshape(-1, _STEP_FRAMES, stacked.shape[1]).sum(axis=1))

    def _finish_short(self, sums: Array) -> None:
        """Embed the short stretches that are complete."""
        joined = np.concatenate([self._sums, sums])
        self._sums = joined[len(joined) - 2 * _REACH :]
        if len(joined) <= 2 * _REACH:
            return
        added = np.cumsum(joined, axis=0, dtype=np.float64)
        added = np.concatenate([np.zeros((1, added.shape[1])), added])
        width = 2 * _REACH + 1
        pooled = (added[width:] - added[:-width]).astype(np.float32)
        features = self._network.features
        counts = pooled[:, -1]
        vectors = self._embed(pooled[:, :features], pooled[:, features:-1], counts)
        vectors[counts == 0] = 0
        rest = slice(self._embedded, min(self._embedded + len(vectors), self._steps))
        count = rest.stop - rest.start
        self._short[rest], self._short_seconds[rest] = vectors[:count], counts[:count] / TRUNK_HZ
        self._embedded = rest.stop

    def _embed(self, sums: Array, squares: Array, counts: Array) -> Array:
        """Return embeddings of the means and unbiased standard deviations of `counts` frames."""
        count = np.maximum(counts, 1)[:, None]
        means = sums / count
        variances = np.maximum(squares / count - np.square(means), 0) * count
        deviations = np.sqrt(variances / np.maximum(count - 1, 1))
        return self._network.head(means, deviations).astype(np.float32)


def _spoken_blocks(activity: Activity) -> set[int]:
    """Return the blocks in which a local speaker of any window talks."""
    blocks: set[int] = set()
    times = np.arange(FRAMES) * FRAME_SECONDS
    for start, active in zip(activity.starts, activity.active, strict=True):
        spoken = start + times[active.any(axis=1)]
        blocks.update(np.unique(spoken // _BLOCK_SECONDS).astype(int).tolist())
    return blocks


def _is_solo(activity: Activity, frames: int) -> Array:
    """Return (frames,) bool: whether exactly one person talks in a frame of the trunk."""
    times = (np.arange(frames) + 0.25) / TRUNK_HZ
    places = np.rint((times - FIRST_FRAME_SECONDS) / FRAME_SECONDS).astype(int)
    found: Array = activity.count[np.clip(places, 0, len(activity.count) - 1)] == 1
    return found
