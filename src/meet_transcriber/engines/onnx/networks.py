"""The networks, read from their checkpoints into onnxruntime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    RuntimeException,
)

from meet_transcriber.core.errors import DiarizationFailed, EngineUnavailable
from meet_transcriber.engines.onnx.checkpoint import read_checkpoint
from meet_transcriber.engines.onnx.embeddings import (
    SUBSAMPLING,
    campplus_graph,
    campplus_head,
    wespeaker_features,
    wespeaker_graph,
    wespeaker_head,
)
from meet_transcriber.engines.onnx.fbank import fbank
from meet_transcriber.engines.onnx.segmentation import segmentation_graph
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

Array = npt.NDArray[Any]

CHUNK_SECONDS = 4
"""What an embedding network hears at once."""
TRUNK_HZ = 50
"""Frames of a trunk in a second."""

CUDA = "CUDAExecutionProvider"
"""onnxruntime's name for a GPU."""

_CHUNK_FRAMES = CHUNK_SECONDS * 100  # of 10 ms
_LEAD_SAMPLES = 120  # in front, so that what a frame of 25 ms sees is centred on its 10 ms
_FRAME_SAMPLES = 400
_HOP_SAMPLES = 160
_SILENCE = -15.5  # mean of a frame's logarithms; digital silence has -15.9
# Frame j of WeSpeaker's is centred on the j * 8th of 10 ms; a frame of the trunk lasts 20 ms.
_NEAREST = np.minimum(
    (np.arange(CHUNK_SECONDS * TRUNK_HZ) + SUBSAMPLING // 4) * 2 // SUBSAMPLING,
    _CHUNK_FRAMES // SUBSAMPLING - 1,
)
_INTEGERS = 32768.0  # full scale of 16 bits, which WeSpeaker was trained on
_ERRORS = (EPFail, Fail, InvalidArgument, InvalidGraph, RuntimeException)


class Embedder(Protocol):
    """
    What voices sound like, in two steps.

    A trunk runs once over all audio; what it says of the frames of one voice is pooled and goes
    through a head. So the cost does not grow with the number of voices.
    """

    @property
    def name(self) -> str:
        """The network; embeddings of different ones cannot be compared."""
        ...

    @property
    def features(self) -> int:
        """Values of a frame of the trunk."""
        ...

    def trunk(self, audio: Array) -> Array:
        """
        Samples to (frames, features) at TRUNK_HZ, for whole chunks of CHUNK_SECONDS.

        Silence is added where the last chunk is short.
        """
        ...

    def head(self, means: Array, deviations: Array) -> Array:
        """
        Pooled trunks, (n, features) each, to embeddings (n, d).

        CAM++'s are of length 1; WeSpeaker's keep the length that its network gives them, which
        the PLDA of community-1 was trained on.
        """
        ...


class Segmentation:
    """Who of up to three local speakers talks in windows of 10 s."""

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        """Raises EngineUnavailable: the checkpoint or the device cannot be used."""
        weights = read_checkpoint(checkpoint)
        self._session = _session(_built(segmentation_graph, weights, checkpoint), device)

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU, where large batches pay."""
        return is_on_gpu(self._session)

    def scores(self, windows: Array) -> Array:
        """Samples (n, 160000) to log probabilities (n, 589, 7); see `segmentation.SETS`."""
        return _run(self._session, "audio", windows[:, None])

    def classes(self, windows: Array) -> Array:
        """Samples (n, 160000) to the likeliest set of each frame, (n, 589) uint8."""
        found: Array = np.argmax(self.scores(windows), axis=2).astype(np.uint8)
        return found


class Campplus:
    """The Embedder CAM++."""

    name = "campplus-zh-en-common"
    features = 512

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        """Raises EngineUnavailable: the checkpoint or the device cannot be used."""
        weights = read_checkpoint(checkpoint)
        self._session = _session(_built(_campplus, weights, checkpoint), device)
        self._head = _part(weights, "xvector.dense.")

    def trunk(self, audio: Array) -> Array:
        """Filter banks less their mean in each chunk, through the network."""
        if not len(audio):
            return np.zeros((0, self.features), np.float32)
        found = _trunks(self._session, _chunked_features(audio, "povey"))
        return found.transpose(0, 2, 1).reshape(-1, self.features)

    def head(self, means: Array, deviations: Array) -> Array:
        """See `Embedder`."""
        return unit(campplus_head(self._head, np.concatenate([means, deviations], axis=1)))


class WeSpeaker:
    """
    The Embedder of pyannote's pipelines, WeSpeaker's ResNet34.

    Its own frames last 80 ms; each fills those of the trunk it is nearest to, so that pooling
    weighs it by the share of it in which somebody talks. pyannote.audio takes windows of 10 s
    and their mean off the filter banks; here it is chunks, so embeddings differ slightly.
    """

    name = "wespeaker-voxceleb-resnet34-LM"

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        """Raises EngineUnavailable: the checkpoint or the device cannot be used."""
        weights = read_checkpoint(checkpoint)
        self._session = _session(_built(_wespeaker, weights, checkpoint), device)
        self._head = _part(weights, "resnet.seg_1.")
        self.features = wespeaker_features(self._head)

    def trunk(self, audio: Array) -> Array:
        """Filter banks less their mean in each chunk, through the network."""
        if not len(audio):
            return np.zeros((0, self.features), np.float32)
        found = _trunks(self._session, _chunked_features(audio, "hamming", _INTEGERS))
        repeated: Array = found.transpose(0, 2, 1)[:, _NEAREST]
        return repeated.reshape(-1, self.features)

    def head(self, means: Array, deviations: Array) -> Array:
        """See `Embedder`."""
        return wespeaker_head(self._head, np.concatenate([means, deviations], axis=1))


def _part(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Copies of some weights, so that the memory of all others is free."""
    return {name: value.copy() for name, value in weights.items() if name.startswith(prefix)}


def _trunks(session: onnxruntime.InferenceSession, features: Array) -> Array:
    """
    What an embedding network makes of chunks, (chunks, features, frames).

    On a processor more chunks at a time are no faster and take more memory.
    """
    batches = [features] if is_on_gpu(session) else np.split(features, len(features))
    return np.concatenate([_run(session, "features", batch) for batch in batches])


def is_on_gpu(session: onnxruntime.InferenceSession) -> bool:
    """Whether the session got the GPU; onnxruntime goes on without it where libraries lack."""
    return CUDA in session.get_providers()


def unit(vectors: Array) -> Array:
    """The same directions with length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Array = vectors / np.maximum(lengths, 1e-9)
    return scaled


def _campplus(weights: Mapping[str, Array]) -> bytes:
    return campplus_graph(weights, _CHUNK_FRAMES)


def _wespeaker(weights: Mapping[str, Array]) -> bytes:
    return wespeaker_graph(weights, _CHUNK_FRAMES)


def _chunked_features(audio: Array, window: str, scale: float = 1.0) -> Array:
    """
    (chunks, 400, 80) float32, each chunk less its mean.

    Digital silence, with which the last chunk is filled, too, would spoil the mean: it is left
    out of it and then set to it.
    """
    chunks = -(-len(audio) // (CHUNK_SECONDS * SAMPLE_RATE_HZ))
    padded = np.zeros((chunks * _CHUNK_FRAMES - 1) * _HOP_SAMPLES + _FRAME_SAMPLES, np.float32)
    part = audio[: len(padded) - _LEAD_SAMPLES]
    padded[_LEAD_SAMPLES : _LEAD_SAMPLES + len(part)] = part
    features = fbank(padded, window=window, scale=scale).reshape(chunks, _CHUNK_FRAMES, -1)
    sounds = features.mean(axis=2, keepdims=True) > _SILENCE
    many = np.maximum(sounds.sum(axis=1, keepdims=True), 1)
    mean = (features * sounds).sum(axis=1, keepdims=True) / many
    centred: Array = ((features - mean) * sounds).astype(np.float32)
    return centred


def _built(build: Any, weights: Mapping[str, Array], checkpoint: Path) -> bytes:
    try:
        found: bytes = build(weights)
    except KeyError as error:
        raise EngineUnavailable(
            f"{checkpoint} is a checkpoint of another network: it has no {error}."
        ) from error
    return found


def _session(graph: bytes, device: str) -> onnxruntime.InferenceSession:
    """One thread inside: calls run side by side instead, and never wait for each other."""
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        # with TF32, its default, one frame in 24 got another class (onnxruntime 1.27 on an H200)
        providers.insert(0, (CUDA, {"use_tf32": 0}))
    try:
        return onnxruntime.InferenceSession(graph, sess_options=options, providers=providers)
    except _ERRORS as error:
        raise EngineUnavailable(f"onnxruntime cannot load a speaker network: {error}") from error


def _run(session: onnxruntime.InferenceSession, name: str, value: Array) -> Array:
    try:
        (found,) = session.run(None, {name: value})
    except _ERRORS as error:
        raise DiarizationFailed(f"onnxruntime stopped: {error}") from error
    values = np.asarray(found)
    if not np.isfinite(values).all():  # clustering would compare them without an end
        raise DiarizationFailed("A speaker network returned values that are not numbers.")
    return values
