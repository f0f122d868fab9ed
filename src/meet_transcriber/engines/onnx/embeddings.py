"""The embedding networks: CAM++ and WeSpeaker's ResNet34."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from meet_transcriber.engines.onnx.network import (
    Array,
    Graph,
    build,
    is_on_gpu,
    load_session,
    read_checkpoint,
    run,
)
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

HOP_SAMPLES = 160
"""10 ms between frames."""
FRAME_SAMPLES = 400
"""25 ms that a frame sees."""

_RATE_HZ = 16_000
_FFT = 512
_BLOCK_FRAMES = 400  # at a time: spectra take 12 kB a frame
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_SMALLEST = np.float32(np.finfo(np.float32).eps)


def fbank(audio: Array, mels: int = 80, window: str = "povey", scale: float = 1.0) -> Array:
    """
    Return (frames, mels) float32, frames of 25 ms every 10 ms, as kaldi's compute-fbank-feats.

    Without dither and without energy; natural logarithms; (samples - 400) // 160 + 1 frames.

    Args:
        audio: (samples,) float32 in [-1, 1], mono, 16 kHz.
        window: "povey" or "hamming".
        scale: samples are multiplied by it, since energies end at a floor; networks differ in
            whether they were trained on samples in [-1, 1] or on integers of 16 bits.
    """
    if len(audio) < FRAME_SAMPLES:
        return np.zeros((0, mels), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME_SAMPLES)[::HOP_SAMPLES]
    blocks = [frames[at : at + _BLOCK_FRAMES] for at in range(0, len(frames), _BLOCK_FRAMES)]
    power = np.concatenate([_power(block, window, scale) @ _mel_filters(mels) for block in blocks])
    energies: Array = np.log(np.maximum(power, _SMALLEST))
    return energies


def _power(frames: Array, window: str, scale: float) -> Array:
    """(frames, 257) of the spectrum."""
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
def _mel_filters(mels: int) -> Array:
    """(257, mels): triangles between edges that are evenly apart in mel."""
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(_RATE_HZ / 2), mels + 2)
    bins = _mel(np.arange(_FFT // 2 + 1) * _RATE_HZ / _FFT)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters: Array = np.maximum(np.minimum(rising, falling), 0).astype(np.float32)
    filters[-1] = 0  # Kaldi leaves out the highest bin
    return filters


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)


Strides = tuple[int, int]

EPSILON = 1e-5
"""What batch normalization adds to variances."""


def residual(
    graph: Graph, value: str, weights: Mapping[str, Array], name: str, strides: Strides
) -> str:
    """Two convolutions beside the input itself, or its shortcut where there are weights of one."""
    found = convolved(graph, value, weights, f"{name}.conv1", f"{name}.bn1", strides)
    found = graph.node("Relu", found)
    found = convolved(graph, found, weights, f"{name}.conv2", f"{name}.bn2", (1, 1))
    if f"{name}.shortcut.0.weight" in weights:
        shortcut = f"{name}.shortcut.0", f"{name}.shortcut.1"
        value = convolved(graph, value, weights, *shortcut, strides)
    return graph.node("Relu", graph.node("Add", found, value))


def convolved(
    graph: Graph, value: str, weights: Mapping[str, Array], conv: str, norm: str, strides: Strides
) -> str:
    """A convolution, normalized; `strides` are of bands and of time."""
    kernel = weights[f"{conv}.weight"]
    pad = kernel.shape[-1] // 2
    value = graph.node("Conv", value, kernel, strides=list(strides), pads=[pad] * 4)
    return batch_norm(graph, value, weights, norm)


def batch_norm(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    """Normalized by what was seen in training."""
    parts = (
        weights[f"{name}.{each}"] for each in ("weight", "bias", "running_mean", "running_var")
    )
    return graph.node("BatchNormalization", value, *parts, epsilon=EPSILON)


MELS = 80
_CAMPPLUS_LAYERS = (12, 24, 16)
_DILATIONS = (1, 2, 2)
_CONTEXT_FRAMES = 100


def campplus_graph(weights: Mapping[str, Array], frames: int) -> bytes:
    """
    Return the ONNX file: `features` (chunks, `frames`, 80) to `trunk` (chunks, 512, frames / 2).

    Args:
        weights: the checkpoint's tensors.
        frames: of 10 ms in a chunk, a multiple of 200.
    """
    graph = Graph("campplus")
    half = frames // 2
    value = graph.input("features", "chunks", frames, MELS)
    value = graph.node("Transpose", value, perm=[0, 2, 1])
    value = graph.node("Unsqueeze", value, np.array([1], np.int64))
    value = _front_end(graph, value, weights)
    value = graph.node("Reshape", value, np.array([0, -1, frames], np.int64))
    value = graph.node(
        "Conv", value, weights["xvector.tdnn.linear.weight"], strides=[2], pads=[2, 2]
    )
    value = _activated(graph, value, weights, "xvector.tdnn.nonlinear.batchnorm")
    for block, (layers, dilation) in enumerate(
        zip(_CAMPPLUS_LAYERS, _DILATIONS, strict=True), start=1
    ):
        for layer in range(1, layers + 1):
            name = f"xvector.block{block}.tdnnd{layer}"
            found = _dense_layer(graph, value, weights, name, dilation, half)
            value = graph.node("Concat", value, found, axis=1)
        value = _activated(graph, value, weights, f"xvector.transit{block}.nonlinear.batchnorm")
        value = graph.node("Conv", value, weights[f"xvector.transit{block}.linear.weight"])
    value = _activated(graph, value, weights, "xvector.out_nonlinear.batchnorm")
    graph.output(value, "trunk", "chunks", 512, half)
    return graph.model()


def _front_end(graph: Graph, value: str, weights: Mapping[str, Array]) -> str:
    """(chunks, 1, 80, frames) to (chunks, 32, 10, frames)."""
    value = convolved(graph, value, weights, "head.conv1", "head.bn1", (1, 1))
    value = graph.node("Relu", value)
    for layer in (1, 2):
        for place in (0, 1):
            name = f"head.layer{layer}.{place}"
            strides = (2 if place == 0 else 1, 1)
            value = residual(graph, value, weights, name, strides)
    value = convolved(graph, value, weights, "head.conv2", "head.bn2", (2, 1))
    return graph.node("Relu", value)


def _dense_layer(
    graph: Graph, value: str, weights: Mapping[str, Array], name: str, dilation: int, frames: int
) -> str:
    """32 further channels, masked by what a chunk and its stretches of 2 s sound like."""
    value = _activated(graph, value, weights, f"{name}.nonlinear1.batchnorm")
    value = graph.node("Conv", value, weights[f"{name}.linear1.weight"])
    value = _activated(graph, value, weights, f"{name}.nonlinear2.batchnorm")
    local = graph.node(
        "Conv",
        value,
        weights[f"{name}.cam_layer.linear_local.weight"],
        dilations=[dilation],
        pads=[dilation, dilation],
    )
    size = [_CONTEXT_FRAMES]
    stretches = graph.node("AveragePool", value, kernel_shape=size, strides=size)
    context = graph.node("Add", stretches, graph.node("GlobalAveragePool", value))
    context = graph.node("Relu", _pointwise(graph, context, weights, f"{name}.cam_layer.linear1"))
    mask = graph.node("Sigmoid", _pointwise(graph, context, weights, f"{name}.cam_layer.linear2"))
    count = frames // _CONTEXT_FRAMES
    split = graph.node("Reshape", local, np.array([0, 0, count, _CONTEXT_FRAMES], np.int64))
    masked = graph.node("Mul", split, graph.node("Unsqueeze", mask, np.array([3], np.int64)))
    return graph.node("Reshape", masked, np.array([0, 0, frames], np.int64))


def _pointwise(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    return graph.node("Conv", value, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _activated(graph: Graph, value: str, weights: Mapping[str, Array], name: str) -> str:
    return graph.node("Relu", batch_norm(graph, value, weights, name))


def campplus_head(weights: Mapping[str, Array], pooled: Array) -> Array:
    """
    Return embeddings (n, 192) from pooled trunks (n, 1024): means, then standard deviations.
    """
    dense = weights["xvector.dense.linear.weight"][:, :, 0]
    norm = "xvector.dense.nonlinear.batchnorm"
    mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
    found: Array = (pooled @ dense.T - mean) / np.sqrt(variance + EPSILON)
    return found


SUBSAMPLING = 8
"""Frames of 10 ms to one of the trunk."""

_WESPEAKER_LAYERS = (1, 2, 3, 4)


def wespeaker_graph(weights: Mapping[str, Array], frames: int) -> bytes:
    """
    Return the ONNX file: `features` (chunks, `frames`, 80) to `trunk` (chunks, n, `frames` / 8).

    Args:
        weights: the checkpoint's tensors; they say how many channels and layers there are.
        frames: of 10 ms in a chunk, a multiple of 8.
    """
    graph = Graph("wespeaker")
    value = graph.input("features", "chunks", frames, MELS)
    value = graph.node("Transpose", value, perm=[0, 2, 1])
    value = graph.node("Unsqueeze", value, np.array([1], np.int64))
    value = convolved(graph, value, weights, "resnet.conv1", "resnet.bn1", (1, 1))
    value = graph.node("Relu", value)
    for layer in _WESPEAKER_LAYERS:
        for place in range(_blocks(weights, layer)):
            stride = 2 if layer > 1 and place == 0 else 1
            name = f"resnet.layer{layer}.{place}"
            value = residual(graph, value, weights, name, (stride, stride))
    size = frames // SUBSAMPLING
    value = graph.node("Reshape", value, np.array([0, -1, size], np.int64))
    graph.output(value, "trunk", "chunks", wespeaker_features(weights), size)
    return graph.model()


def wespeaker_features(weights: Mapping[str, Array]) -> int:
    """Values of a frame of the trunk: channels times bands, 2560 in the official network."""
    return int(weights["resnet.seg_1.weight"].shape[1]) // 2


def wespeaker_head(weights: Mapping[str, Array], pooled: Array) -> Array:
    """
    Return embeddings (n, 256) from pooled trunks (n, 5120): means, then standard deviations.
    """
    found: Array = pooled @ weights["resnet.seg_1.weight"].T + weights["resnet.seg_1.bias"]
    return found


def _blocks(weights: Mapping[str, Array], layer: int) -> int:
    names = {name.split(".")[2] for name in weights if name.startswith(f"resnet.layer{layer}.")}
    return len(names)


CHUNK_SECONDS = 4
"""What an embedding network hears at once."""
TRUNK_HZ = 50
"""Frames of a trunk in a second."""

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


class Campplus:
    """The Embedder CAM++."""

    name = "campplus-zh-en-common"
    features = 512

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        """Raises EngineUnavailable: the checkpoint or the device cannot be used."""
        weights = read_checkpoint(checkpoint)
        self._session = load_session(build(_campplus, weights, checkpoint), device)
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
        self._session = load_session(build(_wespeaker, weights, checkpoint), device)
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
    return np.concatenate([run(session, "features", batch) for batch in batches])


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
