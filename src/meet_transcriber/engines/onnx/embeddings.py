"""
Speaker embedding networks, CAM++ and WeSpeaker's ResNet34, and their Kaldi filter banks.

A network's trunk runs once over all audio. Its frames are pooled by speaker, then go through the
head, so the cost does not grow with the number of speakers.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from meet_transcriber.engines.onnx.network import Array, Graph, Network, read_checkpoint
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

HOP_SAMPLES = 160  # 10 ms between frames
FRAME_SAMPLES = 400  # 25 ms in a frame

_FFT = 512
_BLOCK_FRAMES = 400  # frames at a time: a spectrum takes 12 kB
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_SMALLEST = np.float32(np.finfo(np.float32).eps)

CHUNK_SECONDS = 4  # audio per call of an embedding network
TRUNK_HZ = 50  # frames of a trunk per second
SUBSAMPLING = 8  # frames of 10 ms per frame of WeSpeaker's trunk
MELS = 80
_EPSILON = 1e-5  # what batch normalization adds to variances

_CAMPPLUS_LAYERS = (12, 24, 16)
_DILATIONS = (1, 2, 2)
_CONTEXT_FRAMES = 100
_WESPEAKER_LAYERS = (1, 2, 3, 4)
_CHUNK_FRAMES = CHUNK_SECONDS * 100  # of 10 ms
_LEAD_SAMPLES = 120  # of silence in front, to centre each frame of 25 ms on its 10 ms
_SILENCE = -15.5  # mean log energy of a frame; digital silence has -15.9
# Frame j of WeSpeaker is centred on frame 8 j of 10 ms; a frame of the trunk lasts 20 ms.
_NEAREST = np.minimum(
    (np.arange(CHUNK_SECONDS * TRUNK_HZ) + SUBSAMPLING // 4) * 2 // SUBSAMPLING,
    _CHUNK_FRAMES // SUBSAMPLING - 1,
)
_INTEGERS = 32768.0  # full scale of the 16-bit samples that WeSpeaker was trained on

_Strides = tuple[int, int]
"""Of mel bands and of time."""


def l2_normalize(vectors: Array) -> Array:
    """Scale vectors (..., d) to length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Array = vectors / np.maximum(lengths, 1e-9)
    return scaled


def fbank(audio: Array, window: str = "povey", scale: float = 1.0) -> Array:
    """
    Return (frames, 80) float32 log mel energies, as kaldi's compute-fbank-feats does.

    Frames of 25 ms every 10 ms, (samples - 400) // 160 + 1 in all; no dither, no energy, natural
    logarithm.

    Args:
        audio: (samples,) float32 in [-1, 1], mono, 16 kHz.
        window: "povey" or "hamming".
        scale: factor for the samples, as energies have a floor; networks are trained on samples
            in [-1, 1] or on 16-bit integers.
    """
    if len(audio) < FRAME_SAMPLES:
        return np.zeros((0, MELS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME_SAMPLES)[::HOP_SAMPLES]
    blocks = [frames[at : at + _BLOCK_FRAMES] for at in range(0, len(frames), _BLOCK_FRAMES)]
    power = np.concatenate([_power(block, window, scale) @ _mel_filters() for block in blocks])
    energies: Array = np.log(np.maximum(power, _SMALLEST))
    return energies


def _power(frames: Array, window: str, scale: float) -> Array:
    """Return the power spectrum (frames, 257) of frames (frames, 400)."""
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.float32(scale)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - np.float32(_PREEMPHASIS) * before) * _window(window)
    spectrum = np.fft.rfft(frames, _FFT, axis=1)
    power: Array = np.square(spectrum.real) + np.square(spectrum.imag)
    return power


@cache
def _window(name: str) -> Array:
    phase = 2 * np.pi * np.arange(FRAME_SAMPLES) / (FRAME_SAMPLES - 1)
    if name == "hamming":
        return (0.54 - 0.46 * np.cos(phase)).astype(np.float32)
    return ((0.5 - 0.5 * np.cos(phase)) ** 0.85).astype(np.float32)


@cache
def _mel_filters() -> Array:
    """Return (257, 80) triangular filters, equidistant in mel."""
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(SAMPLE_RATE_HZ / 2), MELS + 2)
    bins = _mel(np.arange(_FFT // 2 + 1) * SAMPLE_RATE_HZ / _FFT)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters: Array = np.maximum(np.minimum(rising, falling), 0).astype(np.float32)
    filters[-1] = 0  # Kaldi omits the highest bin
    return filters


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)


def _residual_block(graph: Graph, value: str, name: str, strides: _Strides) -> str:
    """Add a residual block, with a shortcut convolution if there are weights for it."""
    found = _conv_norm(graph, value, f"{name}.conv1", f"{name}.bn1", strides)
    found = graph.node("Relu", found)
    found = _conv_norm(graph, found, f"{name}.conv2", f"{name}.bn2", (1, 1))
    if f"{name}.shortcut.0.weight" in graph.weights:
        shortcut = f"{name}.shortcut.0", f"{name}.shortcut.1"
        value = _conv_norm(graph, value, *shortcut, strides)
    return graph.node("Relu", graph.node("Add", found, value))


def _conv_norm(graph: Graph, value: str, conv: str, norm: str, strides: _Strides) -> str:
    """Add a convolution and batch normalization."""
    kernel = graph.weights[f"{conv}.weight"]
    pad = kernel.shape[-1] // 2
    value = graph.node("Conv", value, kernel, strides=list(strides), pads=[pad] * 4)
    return _batch_norm(graph, value, norm)


def _batch_norm(graph: Graph, value: str, name: str) -> str:
    """Add batch normalization with the statistics of training."""
    parts = (
        graph.weights[f"{name}.{each}"]
        for each in ("weight", "bias", "running_mean", "running_var")
    )
    return graph.node("BatchNormalization", value, *parts, epsilon=_EPSILON)


def campplus_graph(weights: Mapping[str, Array], frames: int) -> bytes:
    """
    Return the ONNX file: `features` (chunks, `frames`, 80) to `trunk` (chunks, 512, frames / 2).

    Args:
        weights: the checkpoint's tensors.
        frames: frames of 10 ms per chunk, a multiple of 200.
    """
    graph = Graph("campplus", weights)
    half = frames // 2
    value = graph.input("features", "chunks", frames, MELS)
    value = graph.node("Transpose", value, perm=[0, 2, 1])
    value = graph.node("Unsqueeze", value, np.array([1], np.int64))
    value = _front_end(graph, value)
    value = graph.node("Reshape", value, np.array([0, -1, frames], np.int64))
    value = graph.node(
        "Conv", value, weights["xvector.tdnn.linear.weight"], strides=[2], pads=[2, 2]
    )
    value = _norm_relu(graph, value, "xvector.tdnn.nonlinear.batchnorm")
    for block, (layers, dilation) in enumerate(
        zip(_CAMPPLUS_LAYERS, _DILATIONS, strict=True), start=1
    ):
        for layer in range(1, layers + 1):
            name = f"xvector.block{block}.tdnnd{layer}"
            found = _dense_layer(graph, value, name, dilation, half)
            value = graph.node("Concat", value, found, axis=1)
        value = _norm_relu(graph, value, f"xvector.transit{block}.nonlinear.batchnorm")
        value = graph.node("Conv", value, weights[f"xvector.transit{block}.linear.weight"])
    value = _norm_relu(graph, value, "xvector.out_nonlinear.batchnorm")
    graph.output(value, "trunk", "chunks", 512, half)
    return graph.to_bytes()


def _front_end(graph: Graph, value: str) -> str:
    """Add the two-dimensional front end: (chunks, 1, 80, frames) to (chunks, 32, 10, frames)."""
    value = _conv_norm(graph, value, "head.conv1", "head.bn1", (1, 1))
    value = graph.node("Relu", value)
    for layer in (1, 2):
        for place in (0, 1):
            name = f"head.layer{layer}.{place}"
            strides = (2 if place == 0 else 1, 1)
            value = _residual_block(graph, value, name, strides)
    value = _conv_norm(graph, value, "head.conv2", "head.bn2", (2, 1))
    return graph.node("Relu", value)


def _dense_layer(graph: Graph, value: str, name: str, dilation: int, frames: int) -> str:
    """Add 32 channels, masked by the context of the chunk and of its stretches of 2 s."""
    value = _norm_relu(graph, value, f"{name}.nonlinear1.batchnorm")
    value = graph.node("Conv", value, graph.weights[f"{name}.linear1.weight"])
    value = _norm_relu(graph, value, f"{name}.nonlinear2.batchnorm")
    local = graph.node(
        "Conv",
        value,
        graph.weights[f"{name}.cam_layer.linear_local.weight"],
        dilations=[dilation],
        pads=[dilation, dilation],
    )
    size = [_CONTEXT_FRAMES]
    stretches = graph.node("AveragePool", value, kernel_shape=size, strides=size)
    context = graph.node("Add", stretches, graph.node("GlobalAveragePool", value))
    context = graph.node("Relu", _pointwise(graph, context, f"{name}.cam_layer.linear1"))
    mask = graph.node("Sigmoid", _pointwise(graph, context, f"{name}.cam_layer.linear2"))
    count = frames // _CONTEXT_FRAMES
    split = graph.node("Reshape", local, np.array([0, 0, count, _CONTEXT_FRAMES], np.int64))
    masked = graph.node("Mul", split, graph.node("Unsqueeze", mask, np.array([3], np.int64)))
    return graph.node("Reshape", masked, np.array([0, 0, frames], np.int64))


def _pointwise(graph: Graph, value: str, name: str) -> str:
    return graph.node("Conv", value, graph.weights[f"{name}.weight"], graph.weights[f"{name}.bias"])


def _norm_relu(graph: Graph, value: str, name: str) -> str:
    return graph.node("Relu", _batch_norm(graph, value, name))


def campplus_head(weights: Mapping[str, Array], pooled: Array) -> Array:
    """Return embeddings (n, 192) of pooled trunks (n, 1024): means, then deviations."""
    dense = weights["xvector.dense.linear.weight"][:, :, 0]
    norm = "xvector.dense.nonlinear.batchnorm"
    mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
    found: Array = (pooled @ dense.T - mean) / np.sqrt(variance + _EPSILON)
    return found


def wespeaker_graph(weights: Mapping[str, Array], frames: int) -> bytes:
    """
    Return the ONNX file: `features` (chunks, `frames`, 80) to `trunk` (chunks, n, `frames` / 8).

    Args:
        weights: the checkpoint's tensors, which determine channels and layers.
        frames: frames of 10 ms per chunk, a multiple of 8.
    """
    graph = Graph("wespeaker", weights)
    value = graph.input("features", "chunks", frames, MELS)
    value = graph.node("Transpose", value, perm=[0, 2, 1])
    value = graph.node("Unsqueeze", value, np.array([1], np.int64))
    value = _conv_norm(graph, value, "resnet.conv1", "resnet.bn1", (1, 1))
    value = graph.node("Relu", value)
    for layer in _WESPEAKER_LAYERS:
        blocks = {n.split(".")[2] for n in weights if n.startswith(f"resnet.layer{layer}.")}
        for place in range(len(blocks)):
            stride = 2 if layer > 1 and place == 0 else 1
            name = f"resnet.layer{layer}.{place}"
            value = _residual_block(graph, value, name, (stride, stride))
    size = frames // SUBSAMPLING
    value = graph.node("Reshape", value, np.array([0, -1, size], np.int64))
    graph.output(value, "trunk", "chunks", wespeaker_features(weights), size)
    return graph.to_bytes()


def wespeaker_features(weights: Mapping[str, Array]) -> int:
    """Return the values per frame of the trunk: channels times bands, 2560 officially."""
    return int(weights["resnet.seg_1.weight"].shape[1]) // 2


def wespeaker_head(weights: Mapping[str, Array], pooled: Array) -> Array:
    """Return embeddings (n, 256) of pooled trunks (n, 5120): means, then deviations."""
    found: Array = pooled @ weights["resnet.seg_1.weight"].T + weights["resnet.seg_1.bias"]
    return found


class Embedder(Protocol):
    """An embedding network: trunk and head."""

    @property
    def name(self) -> str:
        """The network; embeddings of different networks are not comparable."""
        ...

    @property
    def features(self) -> int:
        """Values per frame of the trunk."""
        ...

    def trunk(self, audio: Array) -> Array:
        """
        Return frames (frames, features) at TRUNK_HZ of samples (n,), in whole chunks.

        A short last chunk is padded with silence.
        """
        ...

    def head(self, means: Array, deviations: Array) -> Array:
        """
        Return embeddings (n, d) of pooled trunks, (n, features) each.

        CAM++'s have length 1; WeSpeaker's keep the length that its network gives them, as the
        PLDA of community-1 expects.
        """
        ...


class Campplus:
    """
    The Embedder CAM++; embeddings (n, 192).

    Raises:
        EngineUnavailable: the checkpoint or the device cannot be used.
    """

    name = "campplus-zh-en-common"
    features = 512

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        self._network, self._head = _load(campplus_graph, checkpoint, device, "xvector.dense.")

    def trunk(self, audio: Array) -> Array:
        """See `Embedder`."""
        if not len(audio):
            return np.zeros((0, self.features), np.float32)
        return _run_trunk(self._network, audio, "povey").reshape(-1, self.features)

    def head(self, means: Array, deviations: Array) -> Array:
        """See `Embedder`."""
        pooled = np.concatenate([means, deviations], axis=1)
        return l2_normalize(campplus_head(self._head, pooled))


class WeSpeaker:
    """
    The Embedder of pyannote's pipelines, WeSpeaker's ResNet34; embeddings (n, 256).

    Its frames last 80 ms; each is repeated for the nearest frames of the trunk, so that pooling
    weights it by the share of it in which a speaker talks. pyannote.audio subtracts the mean of
    filter banks per window of 10 s, this class per chunk, so embeddings differ slightly.

    Raises:
        EngineUnavailable: the checkpoint or the device cannot be used.
    """

    name = "wespeaker-voxceleb-resnet34-LM"

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        self._network, self._head = _load(wespeaker_graph, checkpoint, device, "resnet.seg_1.")
        self.features = wespeaker_features(self._head)

    def trunk(self, audio: Array) -> Array:
        """See `Embedder`."""
        if not len(audio):
            return np.zeros((0, self.features), np.float32)
        found = _run_trunk(self._network, audio, "hamming", _INTEGERS)
        return found[:, _NEAREST].reshape(-1, self.features)

    def head(self, means: Array, deviations: Array) -> Array:
        """See `Embedder`."""
        return wespeaker_head(self._head, np.concatenate([means, deviations], axis=1))


def _load(
    graph: Callable[..., bytes], checkpoint: Path, device: str, head: str
) -> tuple[Network, dict[str, Array]]:
    """Load a network and the weights of its head, whose names begin with `head`."""
    weights = read_checkpoint(checkpoint)
    network = Network(partial(graph, frames=_CHUNK_FRAMES), weights, checkpoint, device)
    # copies, so that the memory of the other weights can be freed
    return network, {name: each.copy() for name, each in weights.items() if name.startswith(head)}


def _run_trunk(network: Network, audio: Array, window: str, scale: float = 1.0) -> Array:
    """Return frames (chunks, frames, features) of samples."""
    features = _chunk_features(audio, window, scale)
    # on a CPU batches are no faster than single chunks and take more memory
    batches = [features] if network.on_gpu else np.split(features, len(features))
    return np.concatenate([network(batch) for batch in batches]).transpose(0, 2, 1)


def _chunk_features(audio: Array, window: str, scale: float = 1.0) -> Array:
    """
    Return filter banks (chunks, 400, 80) float32 less the mean of each chunk.

    Frames of digital silence, such as padding, are excluded from the mean and set to it.
    """
    chunks = -(-len(audio) // (CHUNK_SECONDS * SAMPLE_RATE_HZ))
    padded = np.zeros((chunks * _CHUNK_FRAMES - 1) * HOP_SAMPLES + FRAME_SAMPLES, np.float32)
    part = audio[: len(padded) - _LEAD_SAMPLES]
    padded[_LEAD_SAMPLES : _LEAD_SAMPLES + len(part)] = part
    features = fbank(padded, window=window, scale=scale).reshape(chunks, _CHUNK_FRAMES, -1)
    sounds = features.mean(axis=2, keepdims=True) > _SILENCE
    many = np.maximum(sounds.sum(axis=1, keepdims=True), 1)
    mean = (features * sounds).sum(axis=1, keepdims=True) / many
    centred: Array = ((features - mean) * sounds).astype(np.float32)
    return centred
