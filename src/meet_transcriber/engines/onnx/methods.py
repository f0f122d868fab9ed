"""Two methods from segmentation and embeddings to speaker turns: resegmentation and pyannote's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from meet_transcriber.core.transcript import Turn
from meet_transcriber.engines.onnx.embeddings import l2_normalize
from meet_transcriber.engines.onnx.network import Array
from meet_transcriber.engines.onnx.pooling import SHORT_HOP, Embeddings
from meet_transcriber.engines.onnx.pyannote_clustering import (
    NO_CLUSTER,
    AgglomerativeConfig,
    Clusters,
    Plda,
    VbxConfig,
    cluster_agglomerative,
    cluster_by_k_means,
    cluster_vbx,
)
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    Activity,
    overlap_add,
)
from meet_transcriber.engines.onnx.speakers import find_speakers

_MIN_TURN_FRAMES = 4  # 68 ms; steps of 0.1 s and frames do not end at the same time
# About as many as there are in an hour with a window every second; linkage takes some 300 MB.
_MOST_TRAINED = 4000
_AGGLOMERATIVE = AgglomerativeConfig(most_trained=_MOST_TRAINED)
_VBX = VbxConfig(most_trained=_MOST_TRAINED)


@dataclass(frozen=True)
class SpeakerTurns:
    """
    Who talks when.

    Attributes:
        turns: in order of time; overlapping where people talk at the same time.
        exclusive: the same with one speaker at a time.
        vectors: the embedding of each label, of length 1; labels are in order of first speech.
    """

    turns: tuple[Turn, ...] = ()
    exclusive: tuple[Turn, ...] = ()
    vectors: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Resegmentation:
    """
    The default method, tuned with CAM++; see `speakers`.

    Attributes:
        step: seconds between the starts of segmentation windows; each moment is in five windows.
        gain: factor for the samples that segmentation gets. Working audio is amplified to -24 dBFS;
            segmentation was trained on meetings about 20 dB lower, and takes noise for speech in
            louder ones.
    """

    step: float = 2.0
    gain: float = 0.1

    def find(
        self, activity: Activity, embeddings: Embeddings, bounds: tuple[int, int], duration: float
    ) -> SpeakerTurns:
        """
        Return the turns of a recording of `duration` seconds.

        Args:
            bounds: fewest and most speakers, inclusive.
        """
        speakers = find_speakers(activity, embeddings, *bounds)
        if speakers is None:
            return SpeakerTurns()
        steps = np.rint(activity.frame_times / SHORT_HOP - 0.5).astype(int)
        first = speakers.path[np.clip(steps, 0, len(speakers.path) - 1)]
        talking = np.zeros((len(activity.count), len(speakers)), bool)
        spoken = np.flatnonzero(activity.count > 0)
        talking[spoken, first[spoken]] = True
        exclusive = _sorted_turns(_to_runs(talking, duration))
        second, has_second = _second_speakers(speakers.votes, first)
        overlap = np.flatnonzero((activity.count > 1) & has_second)
        talking[overlap, second[overlap]] = True
        turns = _sorted_turns(_to_runs(talking, duration))
        return _label(turns, exclusive, speakers.vectors)


@dataclass(frozen=True)
class PyannoteMethod:
    """
    The method of speaker-diarization-community-1 with a PLDA, else of speaker-diarization-3.1.

    Given the same scores and embeddings, each step gives the same result as pyannote.audio. The
    embeddings differ slightly: they are pooled from one pass in chunks of 4 s, each less its own
    mean, while pyannote.audio embeds each window of 10 s separately.

    If no cut of the tree has as many large clusters as requested, which 3.1 ignores, k-means is
    used as in community-1. Still, a requested speaker may have no frames.

    Attributes:
        plda: of community-1.
        agglomerative, vbx: clustering without and with a PLDA.
        step, gain: as in both pipelines.
    """

    plda: Plda | None = None
    agglomerative: AgglomerativeConfig = _AGGLOMERATIVE
    vbx: VbxConfig = _VBX
    step: float = 1.0
    gain: float = 1.0

    def find(
        self, activity: Activity, embeddings: Embeddings, bounds: tuple[int, int], duration: float
    ) -> SpeakerTurns:
        """See `Resegmentation.find`."""
        count = np.minimum(activity.count, bounds[1])
        if not count.any():
            return SpeakerTurns()
        found = self._cluster(embeddings.local, activity.active, bounds)
        votes = reconstruct(activity.active, found.labels, activity.starts, len(count))
        turns = _cut_off(to_annotation(to_diarization(votes, count)), duration)
        single = to_diarization(votes, np.minimum(count, 1))
        exclusive = _cut_off(to_annotation(single), duration)
        vectors = l2_normalize(found.centroids)
        return _label(_sorted_turns(turns), _sorted_turns(exclusive), vectors)

    def _cluster(self, local: Array, active: Array, bounds: tuple[int, int]) -> Clusters:
        if self.plda is not None:
            return cluster_vbx(local, active, self.plda, self.vbx, *bounds)
        found = cluster_agglomerative(local, active, self.agglomerative, *bounds)
        if bounds[0] <= len(found.centroids) <= bounds[1]:
            return found
        wanted = int(np.clip(len(found.centroids), *bounds))
        return cluster_by_k_means(local, active, wanted, self.agglomerative.most_trained)


Method = Resegmentation | PyannoteMethod

Stretch = tuple[float, float, int]
"""Start and end in seconds, and the number of the speaker."""


def _second_speakers(votes: Array, first: Array) -> tuple[Array, Array]:
    """Return (frames,) who has the most votes after `first`, and whether there are any."""
    frames = np.arange(len(first))
    others = votes.copy()
    others[frames, first] = 0
    second = others.argmax(axis=1)
    return second, others[frames, second] > 0


def _to_runs(talking: Array, duration: float) -> Iterator[Stretch]:
    """Yield uninterrupted runs of frames (frames, speakers) that are longer than rounding."""
    first = FIRST_FRAME_SECONDS - FRAME_SECONDS / 2
    for speaker in range(talking.shape[1]):
        edges = np.flatnonzero(np.diff(talking[:, speaker].astype(np.int8), prepend=0, append=0))
        runs = edges.reshape(-1, 2)
        longest = np.diff(runs, axis=1).max(initial=0)
        for start, end in runs[np.diff(runs, axis=1)[:, 0] >= min(_MIN_TURN_FRAMES, longest)]:
            begin = start * FRAME_SECONDS + first if start else 0.0
            finish = min(end * FRAME_SECONDS + first, duration)
            if finish > begin:
                yield float(begin), float(finish), speaker


def reconstruct(active: Array, labels: Array, starts: Array, frames: int) -> Array:
    """Return votes (frames, clusters) float32: the number of windows in which a cluster talks."""
    clusters = max(int(labels.max(initial=NO_CLUSTER)) + 1, 0)
    merged = np.zeros((*active.shape[:2], clusters), np.uint8)
    for window, speaker in zip(*np.nonzero(labels != NO_CLUSTER), strict=True):
        column = merged[window, :, labels[window, speaker]]
        np.maximum(column, active[window, :, speaker], out=column, casting="unsafe")
    return overlap_add(merged, starts, frames)


def to_diarization(votes: Array, count: Array) -> Array:
    """
    Return (frames, clusters) bool: in each frame the `count` clusters with the most votes.

    Columns are added if more people talk at the same time than there are clusters. With a `count`
    of at most one, turns are exclusive.
    """
    missing = max(0, int(count.max(initial=0)) - votes.shape[1])
    votes = np.pad(votes, ((0, 0), (0, missing)))
    places = np.argsort(-votes, axis=1, kind="stable")
    found = np.zeros(votes.shape, bool)
    np.put_along_axis(found, places, np.arange(votes.shape[1]) < count[:, None], axis=1)
    return found


def to_annotation(talking: Array) -> Iterator[Stretch]:
    """Yield uninterrupted runs of frames (frames, clusters), from middle to middle of frames."""
    last = len(talking) - 1
    for column, spoken in enumerate(talking.T):
        edges = np.flatnonzero(np.diff(np.r_[False, spoken, False].astype(np.int8)))
        for first, end in edges.reshape(-1, 2):
            if (stop := min(int(end), last)) > first:
                yield _middle(int(first)), _middle(stop), column


def _middle(frame: int) -> float:
    return frame * FRAME_SECONDS + FIRST_FRAME_SECONDS


def _cut_off(stretches: Iterable[Stretch], duration: float) -> Iterator[Stretch]:
    for start, end, speaker in stretches:
        if start < duration:
            yield start, min(end, duration), speaker


def _sorted_turns(stretches: Iterable[Stretch]) -> list[Turn]:
    """Return turns in order of time, with numbers as speakers."""
    return [Turn(start, end, str(speaker)) for start, end, speaker in sorted(stretches)]


def _label(turns: Sequence[Turn], exclusive: Sequence[Turn], vectors: Array) -> SpeakerTurns:
    """Replace numbers of speakers, the rows of `vectors`, by labels in order of first speech."""
    numbers = dict.fromkeys(turn.speaker for turn in (*turns, *exclusive))
    labels = {number: f"SPEAKER_{place:02d}" for place, number in enumerate(numbers)}
    known = {
        label: vectors[int(number)]
        for number, label in labels.items()
        # a speaker has no vector if more people talk than there are clusters; NaN if none is alone
        if int(number) < len(vectors) and np.isfinite(vectors[int(number)]).all()
    }

    def rename(each: Sequence[Turn]) -> tuple[Turn, ...]:
        return tuple(replace(turn, speaker=labels[turn.speaker]) for turn in each)

    return SpeakerTurns(rename(turns), rename(exclusive), known)
