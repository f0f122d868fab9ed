"""One pass of each network over a recording: who may talk, and what each stretch sounds like."""

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
    side_by_side,
)
from meet_transcriber.ports.engines import AudioSource, Progress

SHORT_HOP = 0.1
"""Seconds between short embeddings."""
SHORT_SECONDS = 1.5
"""What a short embedding hears."""

_BLOCK_SECONDS = 24  # of trunk at a time: whole chunks
_MIN_ALONE_SECONDS = 0.4  # less of a voice alone says less than all of it says
_HOP_FRAMES = round(SHORT_HOP * TRUNK_HZ)
_REACH = round((SHORT_SECONDS / SHORT_HOP - 1) / 2)  # hops on each side
_FRAME_OF_TRUNK = np.clip(
    np.rint(
        ((np.arange(WINDOW_SECONDS * TRUNK_HZ) + 0.25) / TRUNK_HZ - FIRST_FRAME_SECONDS)
        / FRAME_SECONDS
    ).astype(int),
    0,
    FRAMES - 1,
)
"""The frame of a window's segmentation that is nearest to each of its trunk."""


@dataclass(frozen=True)
class Voices:
    """
    What embedding says.

    Attributes:
        local: (windows, 3, d) each local speaker of each window, as the embedder gives it.
        alone: (windows, 3) seconds in which such a one talks alone.
        short: (steps, d) the 1.5 s around each step of 0.1 s, likewise.
        heard: (steps,) seconds of one person alone in them.
    """

    local: Array
    alone: Array
    short: Array
    heard: Array


def listen_to_voices(
    network: Embedder, audio: AudioSource, activity: Activity, threads: int, progress: Progress
) -> Voices:
    """Run the embedding network over everything that somebody says, and pool what it gives."""
    pooling = _Pooling(network, activity, audio.duration)
    starts = np.arange(0.0, max(audio.duration, 1e-3), _BLOCK_SECONDS)
    blocks = (
        read_padded(audio, start, start + _BLOCK_SECONDS if pooling.is_spoken_in(start) else start)
        for start in starts
    )
    for place, trunk in enumerate(side_by_side(network.trunk, blocks, threads)):
        pooling.add(trunk)
        progress((place + 1) / len(starts))
    return pooling.finish()


class _Pooling:
    """Turns trunks, as they come, into the embeddings of local speakers and of short stretches."""

    def __init__(self, network: Embedder, activity: Activity, duration: float) -> None:
        self._network, self._activity = network, activity
        self._steps = int(np.ceil(duration / SHORT_HOP))
        self._spoken = _spoken_blocks(activity)
        self._alone = _one_alone(activity, self._steps * _HOP_FRAMES)
        self._trunk = np.zeros((0, network.features), np.float32)  # what windows still need
        self._first = 0  # the frame of the recording on which it begins
        windows = len(activity.starts)
        dimensions = network.head(*np.zeros((2, 1, network.features), np.float32)).shape[1]
        self._local = np.zeros((windows, LOCAL_SPEAKERS, dimensions), np.float32)
        self._seconds = np.zeros((windows, LOCAL_SPEAKERS), np.float32)
        self._pooled = 0  # windows that are done
        self._sums: list[Array] = []
        self._short = np.zeros((self._steps, dimensions), np.float32)
        self._heard = np.zeros(self._steps, np.float32)
        self._embedded = 0  # steps that are done

    def is_spoken_in(self, start: float) -> bool:
        """Whether anybody may talk in the block that begins there."""
        return round(start / _BLOCK_SECONDS) in self._spoken

    def add(self, trunk: Array) -> None:
        """Take the next block; an empty one stands for silence."""
        if not len(trunk):
            trunk = np.zeros((_BLOCK_SECONDS * TRUNK_HZ, self._network.features), np.float32)
        self._sum_hops(trunk, self._first + len(self._trunk))
        self._trunk = np.concatenate([self._trunk, trunk])
        self._finish_windows(self._first + len(self._trunk))

    def finish(self) -> Voices:
        """What was pooled, with the windows that reach beyond the end."""
        self._finish_windows(None)
        self._finish_short(np.zeros((_REACH, 2 * self._network.features + 1)))
        return Voices(self._local, self._seconds, self._short, self._heard)

    def _finish_windows(self, end: int | None) -> None:
        """Pool the windows that are complete; the rest of the trunk is kept."""
        starts = np.rint(self._activity.starts * TRUNK_HZ).astype(int)
        length = WINDOW_SECONDS * TRUNK_HZ
        while self._pooled < len(starts):
            start, window = starts[self._pooled], self._pooled
            if end is not None and start + length > end:
                break
            trunk = self._trunk[start - self._first : start - self._first + length]
            pooled = self._pool(trunk, self._activity.active[window])
            self._local[window], self._seconds[window] = pooled
            self._pooled += 1
        wanted = starts[self._pooled] if self._pooled < len(starts) else end or 0
        done = min(max(wanted - self._first, 0), len(self._trunk))
        self._trunk = self._trunk[done:].copy()
        self._first += done

    def _pool(self, trunk: Array, active: Array) -> tuple[Array, Array]:
        """Embeddings (3, d) of a window's local speakers, and their seconds alone."""
        spoken = active[_FRAME_OF_TRUNK[: len(trunk)]].astype(np.float32)
        alone = spoken * (spoken.sum(axis=1, keepdims=True) == 1)
        seconds = alone.sum(axis=0) / TRUNK_HZ
        masks = np.where(seconds >= _MIN_ALONE_SECONDS, alone, spoken).T
        sums = masks @ trunk, masks @ np.square(trunk), masks.sum(axis=1)
        return self._embed(*sums), seconds

    def _sum_hops(self, trunk: Array, first: int) -> None:
        """Sums over each 0.1 s of what is heard of one person alone."""
        mask = np.zeros((len(trunk), 1), np.float32)
        part = self._alone[first : first + len(trunk)]
        mask[: len(part), 0] = part
        masked = trunk * mask
        stacked = np.concatenate([masked, masked * trunk, mask], axis=1)
        self._finish_short(stacked.reshape(-1, _HOP_FRAMES, stacked.shape[1]).sum(axis=1))

    def _finish_short(self, sums: Array) -> None:
        """Embed the stretches of 1.5 s whose last 0.1 s has come."""
        before = self._sums or [np.zeros((_REACH, sums.shape[1]))]
        joined = np.concatenate([*before, sums])
        self._sums = [joined[len(joined) - 2 * _REACH :]]
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
        many = rest.stop - rest.start
        self._short[rest], self._heard[rest] = vectors[:many], counts[:many] / TRUNK_HZ
        self._embedded = rest.stop

    def _embed(self, sums: Array, squares: Array, counts: Array) -> Array:
        """Embeddings from sums over `counts` frames: mean and unbiased standard deviation."""
        many = np.maximum(counts, 1)[:, None]
        means = sums / many
        variances = np.maximum(squares / many - np.square(means), 0) * many
        deviations = np.sqrt(variances / np.maximum(many - 1, 1))
        return self._network.head(means, deviations).astype(np.float32)


def _spoken_blocks(activity: Activity) -> set[int]:
    """Blocks that a local speaker of any window talks in."""
    blocks: set[int] = set()
    times = np.arange(FRAMES) * FRAME_SECONDS
    for start, active in zip(activity.starts, activity.active, strict=True):
        spoken = start + times[active.any(axis=1)]
        blocks.update(np.unique(spoken // _BLOCK_SECONDS).astype(int).tolist())
    return blocks


def _one_alone(activity: Activity, frames: int) -> Array:
    """(frames,) of the trunk: whether exactly one person talks."""
    times = (np.arange(frames) + 0.25) / TRUNK_HZ
    places = np.rint((times - FIRST_FRAME_SECONDS) / FRAME_SECONDS).astype(int)
    found: Array = activity.count[np.clip(places, 0, len(activity.count) - 1)] == 1
    return found
