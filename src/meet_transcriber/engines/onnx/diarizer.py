"""The Diarizer port on onnxruntime, without torch and without a token."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Span, Turn, Voice, total_seconds
from meet_transcriber.engines.onnx.embeddings import Campplus, Embedder, WeSpeaker, l2_normalize
from meet_transcriber.engines.onnx.network import CUDA, Array
from meet_transcriber.engines.onnx.pooling import SHORT_HOP, Embeddings, embed_recording
from meet_transcriber.engines.onnx.pyannote_clustering import (
    NO_CLUSTER,
    Clusters,
    Plda,
    cluster_agglomerative,
    cluster_by_k_means,
    cluster_vbx,
    read_plda,
)
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FIRST_FRAME_SECONDS,
    FRAME_SECONDS,
    Activity,
    Segmentation,
    detect_activity,
    overlap_add,
)
from meet_transcriber.engines.onnx.speakers import find_speakers
from meet_transcriber.ports.engines import AudioSource, Progress

_CPU_BATCH = 2  # larger batches are no faster: their layers exceed the processor's cache
_GPU_BATCH = 64  # 1.3 ms a window; 60 ms in batches of one (onnxruntime 1.27 on an H200)
_SEGMENTATION_SHARE = 0.5  # of the time
_MIN_VOICE_SECONDS = 1.0  # of speech, to identify a voice in another recording
_MIN_TURN_FRAMES = 4  # 68 ms; steps of 0.1 s and frames do not end at the same time


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
        times = np.arange(len(activity.count)) * FRAME_SECONDS + FIRST_FRAME_SECONDS
        steps = np.rint(times / SHORT_HOP - 0.5).astype(int)
        first = speakers.path[np.clip(steps, 0, len(speakers.path) - 1)]
        talking = np.zeros((len(activity.count), len(speakers)), bool)
        spoken = np.flatnonzero(activity.count > 0)
        talking[spoken, first[spoken]] = True
        exclusive = list(_to_runs(talking, duration))
        frames, others = np.arange(len(first)), speakers.votes.copy()
        others[frames, first] = 0
        second = others.argmax(axis=1)
        overlap = np.flatnonzero((activity.count > 1) & (others[frames, second] > 0))
        talking[overlap, second[overlap]] = True
        return _label(_to_runs(talking, duration), exclusive, speakers.vectors)


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
        step, gain: as in both pipelines.
    """

    plda: Plda | None = None
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
        turns, exclusive = (
            [
                (start, min(end, duration), speaker)
                for start, end, speaker in to_annotation(to_diarization(votes, each))
                if start < duration
            ]
            for each in (count, np.minimum(count, 1))
        )
        return _label(turns, exclusive, l2_normalize(found.centroids))

    def _cluster(self, local: Array, active: Array, bounds: tuple[int, int]) -> Clusters:
        if self.plda is not None:
            return cluster_vbx(local, active, self.plda, *bounds)
        found = cluster_agglomerative(local, active, *bounds)
        if bounds[0] <= len(found.centroids) <= bounds[1]:
            return found
        return cluster_by_k_means(local, active, int(np.clip(len(found.centroids), *bounds)))


Method = Resegmentation | PyannoteMethod

Stretch = tuple[float, float, int]
"""Start and end in seconds, and the number of the speaker."""


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
        for first, end in np.minimum(edges, last).reshape(-1, 2).tolist():
            if end > first:
                start, stop = (at * FRAME_SECONDS + FIRST_FRAME_SECONDS for at in (first, end))
                yield start, stop, column


def _label(turns: Iterable[Stretch], exclusive: Iterable[Stretch], vectors: Array) -> SpeakerTurns:
    """Sort by time; numbers, the rows of `vectors`, become labels in order of first speech."""
    every, single = sorted(turns), sorted(exclusive)
    numbers = dict.fromkeys(speaker for _, _, speaker in (*every, *single))
    labels = {number: f"SPEAKER_{place:02d}" for place, number in enumerate(numbers)}
    known = {
        label: vectors[number]
        for number, label in labels.items()
        # a speaker has no vector if more people talk than there are clusters; NaN if none is alone
        if number < len(vectors) and np.isfinite(vectors[number]).all()
    }
    named, alone = (
        tuple(Turn(start, end, labels[speaker]) for start, end, speaker in each)
        for each in (every, single)
    )
    return SpeakerTurns(named, alone, known)


class OnnxDiarizer:
    """
    The Diarizer port on segmentation-3.0 and an embedding network; also a VoiceEmbedder.

    It stores nothing. Memory grows by about 30 MB per hour of audio.

    Args:
        threads: CPU cores to use.
        method: how turns are found in the output of the networks.
        batch: windows per call of segmentation.
    """

    def __init__(
        self,
        segmentation: Segmentation,
        embedder: Embedder,
        threads: int,
        method: Method | None = None,
        batch: int = _CPU_BATCH,
    ) -> None:
        self._segmentation, self._embedder, self._threads = segmentation, embedder, threads
        self._method, self._batch = method or Resegmentation(), batch
        self.name = f"onnx segmentation-3.0 {embedder.name}"

    def diarize(
        self,
        audio: AudioSource,
        speech: Sequence[Span],  # noqa: ARG002 - segmentation finds speech itself
        options: Options,
        progress: Progress,
    ) -> Diarization:
        """Return all turns, exclusive turns, and the voice of each speaker; see the port."""
        activity = detect_activity(
            self._segmentation,
            audio,
            self._method.step,
            self._method.gain,
            self._batch,
            self._threads,
            lambda share: progress(share * _SEGMENTATION_SHARE),
        )
        embeddings = embed_recording(
            self._embedder,
            audio,
            activity,
            self._threads,
            lambda share: progress(_SEGMENTATION_SHARE + 0.99 * share * (1 - _SEGMENTATION_SHARE)),
        )
        found = self._method.find(activity, embeddings, options.speaker_range, audio.duration)
        progress(1.0)
        voices = _voices(found, self._embedder.name)
        return Diarization(found.turns, found.exclusive, voices=voices)

    def voice(self, audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Voice | None:
        """Return the voice of a recording of one person; see the port."""
        found = self.diarize(audio, speech, Options(num_speakers=1), progress)
        return next(iter(found.voices.values()), None)


def _voices(found: SpeakerTurns, model: str) -> Mapping[str, Voice]:
    """Return the voices of speakers with enough speech."""
    seconds = {
        label: total_seconds(turn for turn in found.exclusive if turn.speaker == label)
        for label in found.vectors
    }
    return {
        label: Voice(model, tuple(map(float, vector)), round(seconds[label], 2))
        for label, vector in found.vectors.items()
        if seconds[label] >= _MIN_VOICE_SECONDS
    }


def load_diarizer(
    segmentation: Path,
    embedding: Path,
    embedder: str,
    device: str,
    threads: int,
    plda: Path | None = None,
) -> OnnxDiarizer:
    """
    Load a diarizer from folders with the official checkpoints.

    Args:
        embedder: the network in `embedding`, `campplus` or `wespeaker`.
        device: `cpu`, or anything else to use a GPU if onnxruntime can; the installed one seldom
            can, whatever Whisper's device is.
        threads: CPU cores to use.
        plda: folder of community-1's PLDA; for `wespeaker` only.

    Raises:
        EngineUnavailable: a checkpoint, the PLDA or the device cannot be used.
    """
    use_gpu = device != "cpu" and CUDA in onnxruntime.get_available_providers()
    device = "cuda" if use_gpu else "cpu"
    network = Segmentation(segmentation / "pytorch_model.bin", device)
    loaded: Embedder
    method: Method
    if embedder == "wespeaker":
        loaded = WeSpeaker(embedding / "pytorch_model.bin", device)
        method = PyannoteMethod(read_plda(plda) if plda else None)
    else:
        loaded = Campplus(embedding / "campplus_cn_en_common.pt", device)
        method = Resegmentation()
    batch = _GPU_BATCH if network.on_gpu else _CPU_BATCH
    return OnnxDiarizer(network, loaded, threads, method, batch)
